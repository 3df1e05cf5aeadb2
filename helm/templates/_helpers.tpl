{{/* Names, labels, and the values that several files need. */}}

{{/*
At most 45 characters: the name of the StatefulSet with the hash of its revision is a label, of at most 63. Longer names
end with a digest, so that two of them stay different.
*/}}
{{- define "waybill.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $full := .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name)) -}}
{{- if gt (len $full) 45 -}}
{{- printf "%s-%s" ($full | trunc 36 | trimSuffix "-") (sha256sum $full | trunc 8) -}}
{{- else -}}
{{- trimSuffix "-" $full -}}
{{- end -}}
{{- end -}}

{{/* Labels of selectors. Immutable, so without version and chart. */}}
{{- define "waybill.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "waybill.labels" -}}
{{ include "waybill.selector" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimAll "-_." | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* metadata of an object: dict root, suffix, and optionally component, labels, annotations. */}}
{{- define "waybill.metadata" -}}
name: {{ include "waybill.fullname" .root }}{{ with .suffix }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "waybill.labels" .root | nindent 2 }}
  {{- with .component }}
  app.kubernetes.io/component: {{ . }}
  {{- end }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (deepCopy (.annotations | default dict)) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "waybill.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "waybill.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* Image reference: dict root, image, and the version as its default tag. */}}
{{- define "waybill.image" -}}
{{- with .root.Values.global.imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ .image.tag | default .version }}
{{- end -}}
{{- end -}}

{{- define "waybill.configMapName" -}}
{{- .Values.config.existingConfigMap | default (printf "%s-config" (include "waybill.fullname" .)) -}}
{{- end -}}

{{/* A number as the process reads it: Helm makes 2000000 a float and would write 2e+06. */}}
{{- define "waybill.number" -}}
{{- if and (kindIs "float64" .) (eq (float64 (int64 .)) .) -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end -}}

{{/* Reject numbers that Helm cannot represent, such as an id without quotes: dict path, value. */}}
{{- define "waybill.checkNumbers" -}}
{{- $path := .path -}}
{{- if kindIs "map" .value -}}
{{- range $key, $value := .value }}{{ include "waybill.checkNumbers" (dict "path" (printf "%s.%s" $path $key) "value" $value) }}{{ end -}}
{{- else if kindIs "slice" .value -}}
{{- range $index, $value := .value }}{{ include "waybill.checkNumbers" (dict "path" (printf "%s[%d]" $path $index) "value" $value) }}{{ end -}}
{{- else if and (kindIs "float64" .value) (or (ge .value 9007199254740992.0) (le .value -9007199254740992.0)) -}}
{{- fail (printf "\n%s: Helm cannot represent a number of this size exactly. Write it in quotes." $path) -}}
{{- end -}}
{{- end -}}

{{/* Reject invalid combinations of values, which the schema cannot express. */}}
{{- define "waybill.check" -}}
{{- include "waybill.checkNumbers" (dict "path" "config" "value" .Values.config) -}}
{{- include "waybill.checkNumbers" (dict "path" "rules.files" "value" .Values.rules.files) -}}
{{- include "waybill.checkNumbers" (dict "path" "settings" "value" .Values.settings) -}}
{{- $ways := list -}}
{{- if .Values.redis.existingSecret.name }}{{ $ways = append $ways "redis.existingSecret" }}{{ end -}}
{{- if .Values.redis.url }}{{ $ways = append $ways "redis.url" }}{{ end -}}
{{- if .Values.redis.embedded.enabled }}{{ $ways = append $ways "redis.embedded.enabled" }}{{ end -}}
{{- if and (empty $ways) (empty .Values.redis.sentinel.hosts) -}}
{{- fail "\nNo store is configured. Set redis.existingSecret.name, redis.url, redis.sentinel.hosts or, for a trial, redis.embedded.enabled=true." -}}
{{- end -}}
{{- if gt (len $ways) 1 -}}
{{- fail (printf "\nMore than one store is configured: %s. Keep one." (join ", " $ways)) -}}
{{- end -}}
{{- if and .Values.redis.embedded.enabled .Values.redis.sentinel.hosts -}}
{{- fail "\nredis.embedded has no sentinels. Remove redis.sentinel.hosts, or configure an external store." -}}
{{- end -}}
{{- if and (not .Values.config.existingConfigMap) (empty .Values.config.sources) -}}
{{- fail "\nconfig.sources is empty. Add at least one source, or set config.existingConfigMap." -}}
{{- end -}}
{{- range $name, $source := .Values.config.sources -}}
{{- if and $source.platform (not (hasKey $.Values.config.platforms $source.platform)) -}}
{{- fail (printf "\nconfig.sources.%s.platform: platform %s is not in config.platforms. Add it, or correct the name." $name $source.platform) -}}
{{- end -}}
{{- end -}}
{{- range $file, $rules := .Values.rules.files -}}
{{- range $rules -}}
{{- $rule := . -}}
{{- if not (has .type (concat (list "purchase_order" "customer" "event") (keys (default dict $.Values.config.records)))) -}}
{{- if not $.Values.config.existingConfigMap -}}
{{- fail (printf "\nrules.files.%s: type %s of rule %s is no record kind. Declare it in config.records, or correct the name." $file .type .id) -}}
{{- end -}}
{{- end -}}
{{- range .actions -}}
{{- if and .destination (not $.Values.config.existingConfigMap) (not (hasKey $.Values.config.destinations .destination)) -}}
{{- fail (printf "\nrules.files.%s: destination %s of rule %s is not in config.destinations. Add it, or correct the name." $file .destination $rule.id) -}}
{{- end -}}
{{- end -}}
{{- range .sources -}}
{{- if and $.Values.config.sources (not (hasKey $.Values.config.sources .)) -}}
{{- fail (printf "\nrules.files.%s: source %s of rule %s is not in config.sources. Add it, or correct the name." $file . $rule.id) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.workers.autoscaling -}}
{{- if gt (int .min) (int .max) }}{{ fail "\nworkers.autoscaling.min is greater than max. Decrease min or increase max." }}{{ end -}}
{{- if and (eq .kind "keda") (eq .keda.trigger "due") (not .keda.prometheus) -}}
{{- fail "\nworkers.autoscaling.keda.prometheus is empty, but trigger=due queries Prometheus. Set it to the URL of Prometheus." -}}
{{- end -}}
{{- if and (eq .kind "keda") (eq .keda.trigger "queue") (not .keda.address) (not $.Values.redis.embedded.enabled) (empty $.Values.redis.sentinel.hosts) -}}
{{- fail "\nworkers.autoscaling.keda.address is empty, and KEDA cannot read the store's URL from the Secret. Set it to host:port." -}}
{{- end -}}
{{- end -}}
{{- if gt (int .Values.service.autoscaling.min) (int .Values.service.autoscaling.max) }}{{ fail "\nservice.autoscaling.min is greater than max. Decrease min or increase max." }}{{ end -}}
{{- if and .Values.ingress.enabled (empty .Values.ingress.hosts) }}{{ fail "\ningress.hosts is empty, so the Ingress would match every host. Add a host." }}{{ end -}}
{{- if and .Values.httpRoute.enabled (empty .Values.httpRoute.parentRefs) }}{{ fail "\nhttpRoute.parentRefs is empty. Add the gateway." }}{{ end -}}
{{- if and .Values.test.source (not .Values.test.secretEnv) }}{{ fail "\ntest.secretEnv is empty. Set it to the environment variable with the secret of test.source." }}{{ end -}}
{{- end -}}
