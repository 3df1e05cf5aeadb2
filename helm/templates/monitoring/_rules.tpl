{{/*
Groups of a file of rules, for this release only. Takes root, file, scope (matchers of the release), options (the values
prometheusRule or lokiRules).
*/}}
{{- define "waybill.ruleGroups" -}}
{{- $root := .root -}}
{{- $options := .options -}}
{{- $text := $root.Files.Get .file | replace "namespace=~\".*\"" .scope -}}
{{- $text = $text | replace "release=\"all\"" (printf "release=%q" (include "waybill.fullname" $root)) -}}
{{- $text = $text | replace "app=\"waybill\"" (printf "app=%q" (default $root.Chart.Name $root.Values.nameOverride | trunc 63 | trimSuffix "-")) -}}
{{- $groups := list -}}
{{- range (fromYaml $text).groups -}}
{{- $rules := list -}}
{{- range .rules -}}
{{- if .record -}}
{{- $rules = append $rules (merge (dict "labels" (dict "release" (include "waybill.fullname" $root))) .) -}}
{{- else -}}
{{- $change := get $options.alerts .alert | default dict -}}
{{- if ne (toString $change.enabled) "false" -}}
{{- $rule := . -}}
{{- if hasKey $change "threshold" -}}
{{- $rule = merge (dict "expr" (regexReplaceAll "[0-9.]+$" .expr (toString $change.threshold))) $rule -}}
{{- end -}}
{{- with $change.for }}{{ $rule = merge (dict "for" .) $rule }}{{ end -}}
{{- $labels := merge (dict) ($change.labels | default dict) $options.alertLabels .labels -}}
{{- with $change.severity }}{{ $labels = merge (dict "severity" .) $labels }}{{ end -}}
{{- $annotations := merge (dict "runbook_url" (print (default (printf "%s/blob/v%s/" $root.Chart.Home $root.Chart.AppVersion) $root.Values.monitoring.runbookUrl) .annotations.runbook_url)) .annotations -}}
{{- $rules = append $rules (merge (dict "labels" $labels "annotations" $annotations) $rule) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $groups = append $groups (dict "name" .name "rules" $rules) -}}
{{- end -}}
{{- toYaml $groups -}}
{{- end -}}
