{{/* The parts of every pod of ours. */}}


{{/* Where the store is, the secrets, and the settings: dict root, settings. */}}
{{- define "waybill.env" -}}
{{- $root := .root -}}
{{- $name := include "waybill.fullname" $root -}}
{{- with $root.Values.redis -}}
{{- if and .existingSecret.name .existingSecret.hostKey }}
- name: REDIS_HOST
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret.name }}
      key: {{ .existingSecret.hostKey }}
- name: WAYBILL_REDIS_URL
  value: {{ printf "%s://$(REDIS_HOST):%v/%v" (ternary "rediss" "redis" .existingSecret.tls) .existingSecret.port .existingSecret.database | quote }}
{{- else if .existingSecret.name }}
- name: WAYBILL_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret.name }}
      key: {{ .existingSecret.key }}
{{- else if .url }}
- name: WAYBILL_REDIS_URL
  valueFrom:
    secretKeyRef:
      name: {{ $name }}-redis
      key: url
{{- else if .embedded.enabled }}
- name: WAYBILL_REDIS_URL
  value: redis://{{ $name }}-valkey:6379/0
{{- end }}
{{- if .credentialsSecret.name }}
{{- if .credentialsSecret.usernameKey }}
- name: WAYBILL_REDIS_USERNAME
  valueFrom:
    secretKeyRef:
      name: {{ .credentialsSecret.name }}
      key: {{ .credentialsSecret.usernameKey }}
{{- end }}
- name: WAYBILL_REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .credentialsSecret.name }}
      key: {{ .credentialsSecret.passwordKey }}
{{- end }}
{{- if .sentinel.hosts }}
- name: WAYBILL_REDIS_SENTINEL
  value: {{ join "," .sentinel.hosts | quote }}
- name: WAYBILL_REDIS_SENTINEL_PRIMARY
  value: {{ .sentinel.primary | quote }}
{{- if .sentinel.passwordSecret.name }}
- name: WAYBILL_REDIS_SENTINEL_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .sentinel.passwordSecret.name }}
      key: {{ .sentinel.passwordSecret.key }}
{{- end }}
{{- end }}
{{- if .tls.caSecret.name }}
- name: WAYBILL_REDIS_TLS_CA_FILE
  value: /etc/waybill/redis-ca/ca.crt
{{- end }}
{{- end }}
- name: WAYBILL_CONFIG
  value: /etc/waybill/config/waybill.yaml
{{- if not (hasKey .settings "installation_id") }}
- name: WAYBILL_INSTALLATION_ID
  value: {{ printf "%s/%s" $root.Release.Namespace $name | quote }}
{{- end }}
{{- range $setting, $value := .settings }}
- name: WAYBILL_{{ upper $setting }}
  value: {{ include "waybill.number" $value | quote }}
{{- end }}
{{- range $variable, $secret := $root.Values.secrets.env }}
- name: {{ $variable }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret.name }}
      key: {{ $secret.key }}
{{- end }}
{{- range $variable, $_ := $root.Values.secrets.trial }}
- name: {{ $variable }}
  valueFrom:
    secretKeyRef:
      name: {{ $name }}-trial
      key: {{ $variable }}
{{- end }}
{{- with $root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The variables of traces, for the processes that send spans. */}}
{{- define "waybill.traces" -}}
{{- with .Values.monitoring.traces }}
{{- if .endpoint }}
- name: WAYBILL_TRACES
  value: "true"
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_TRACES_SAMPLER
  value: parentbased_traceidratio
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ .sampleRatio | quote }}
{{- if .headersSecret.name }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef:
      name: {{ .headersSecret.name }}
      key: {{ .headersSecret.key }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "waybill.envFrom" -}}
{{- $names := concat .Values.secrets.existingSecrets (keys .Values.secrets.external | sortAlpha) }}
{{- if or $names .Values.extraEnvFrom }}
envFrom:
  {{- range $names }}
  - secretRef:
      name: {{ . }}
  {{- end }}
  {{- with .Values.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "waybill.mounts" -}}
- name: config
  mountPath: /etc/waybill/config
  readOnly: true
- name: tmp
  mountPath: /tmp
{{- if .Values.redis.tls.caSecret.name }}
- name: redis-ca
  mountPath: /etc/waybill/redis-ca
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "waybill.volumes" -}}
- name: config
  configMap:
    name: {{ include "waybill.configMapName" . }}
- name: tmp
  emptyDir:
    sizeLimit: 64Mi
{{- with .Values.redis.tls.caSecret }}
{{- if .name }}
- name: redis-ca
  secret:
    secretName: {{ .name }}
    items:
      - key: {{ .key }}
        path: ca.crt
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* First fields of the spec of every pod. */}}
{{- define "waybill.podBasis" -}}
serviceAccountName: {{ include "waybill.serviceAccountName" . }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with concat .Values.imagePullSecrets .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ if kindIs "map" . }}{{ .name }}{{ else }}{{ . }}{{ end }}
  {{- end }}
{{- end }}
{{- if kindIs "bool" .Values.hostUsers }}
hostUsers: {{ .Values.hostUsers }}
{{- end }}
{{- end -}}

{{/* The metadata of the pod of the publishing Job, and of `helm test`: dict root, component. */}}
{{- define "waybill.jobPodLabels" -}}
{{ include "waybill.labels" .root }}
app.kubernetes.io/component: {{ .component }}
{{- with .root.Values.rules.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* A probe with changed fields: dict default, change. */}}
{{- define "waybill.probe" -}}
{{- toYaml (merge (deepCopy .change) .default) -}}
{{- end -}}

{{/* Scheduling of a pod, from the values of its component. */}}
{{- define "waybill.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A checksum of each input of the pods, so that a change to it, and to nothing else, restarts them. */}}
{{- define "waybill.checksums" -}}
{{- if and .Values.restartOnConfigChange (not .Values.config.existingConfigMap) }}
checksum/config: {{ include (print .Template.BasePath "/config.yaml") . | sha256sum }}
{{- end }}
{{- if .Values.secrets.trial }}
checksum/trial: {{ toJson .Values.secrets.trial | sha256sum }}
{{- end }}
{{- if .Values.redis.url }}
checksum/redis: {{ sha256sum .Values.redis.url }}
{{- end }}
{{- end -}}

{{/*
The pod template of a component. dict: root, component, command, settings (which the chart derives), stopSeconds
(from SIGTERM to the process's end), and webhooks (whether it has the senders' port).
*/}}
{{- define "waybill.podTemplate" -}}
{{- $root := .root -}}
{{- $values := index $root.Values .component -}}
{{- $defaults := dict -}}
{{- if and .webhooks (or $root.Values.ingress.enabled $root.Values.httpRoute.enabled) -}}
{{- $_ := set $defaults "trusted_proxies" $root.Values.service.trustedProxies -}}
{{- end -}}
metadata:
  labels:
    {{- include "waybill.labels" $root | nindent 4 }}
    app.kubernetes.io/component: {{ .component }}
    {{- with $values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: {{ .component }}
    {{- include "waybill.checksums" $root | nindent 4 }}
    {{- with merge (deepCopy $values.podAnnotations) $root.Values.commonAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- include "waybill.podBasis" $root | nindent 2 }}
  # preStop, then the shutdown of the process, then a margin
  terminationGracePeriodSeconds: {{ add $values.preStopSeconds .stopSeconds 10 }}
  {{- include "waybill.placement" $values | nindent 2 }}
  {{- with $values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range $values.topologySpreadConstraints }}
    - {{- toYaml . | nindent 6 }}
      labelSelector:
        matchLabels:
          {{- include "waybill.selector" $root | nindent 10 }}
          app.kubernetes.io/component: {{ $.component }}
    {{- end }}
  {{- end }}
  {{- with $values.extraInitContainers }}
  initContainers:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "waybill.image" (dict "root" $root "image" $root.Values.image "version" $root.Chart.AppVersion) | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: [{{ .command }}]
      securityContext:
        {{- toYaml $root.Values.containerSecurityContext | nindent 8 }}
      env:
        {{- include "waybill.env" (dict "root" $root "settings" (merge (deepCopy .settings) $values.settings $root.Values.settings $defaults)) | trim | nindent 8 }}
        {{- with include "waybill.traces" $root }}
        {{- . | nindent 8 }}
        {{- end }}
        {{- with $values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- include "waybill.envFrom" $root | nindent 6 }}
      ports:
        {{- if .webhooks }}
        - {name: webhooks, containerPort: 8080, protocol: TCP}
        {{- end }}
        - {name: admin, containerPort: 8081, protocol: TCP}
      # /healthz checks only the process: an unavailable store must not restart pods. /readyz checks the store.
      {{- $health := dict "path" "/healthz" "port" "admin" }}
      {{- $startup := dict "httpGet" $health "periodSeconds" 2 "timeoutSeconds" 2 "failureThreshold" (div (add $values.startupTimeoutSeconds 1) 2) }}
      {{- $liveness := dict "httpGet" $health "periodSeconds" 10 "timeoutSeconds" 5 "failureThreshold" 6 }}
      {{- $readiness := dict "httpGet" (dict "path" "/readyz" "port" "admin") "periodSeconds" 5 "timeoutSeconds" 3 "failureThreshold" 2 }}
      startupProbe:
        {{- include "waybill.probe" (dict "default" $startup "change" $values.probes.startup) | nindent 8 }}
      livenessProbe:
        {{- include "waybill.probe" (dict "default" $liveness "change" $values.probes.liveness) | nindent 8 }}
      readinessProbe:
        {{- include "waybill.probe" (dict "default" $readiness "change" $values.probes.readiness) | nindent 8 }}
      {{- if $values.lifecycle }}
      lifecycle:
        {{- toYaml $values.lifecycle | nindent 8 }}
      {{- else if $values.preStopSeconds }}
      lifecycle:
        preStop:
          exec:
            command: [sleep, {{ $values.preStopSeconds | quote }}]
      {{- end }}
      resources:
        {{- toYaml $values.resources | nindent 8 }}
      volumeMounts:
        {{- include "waybill.mounts" $root | nindent 8 }}
        {{- with $values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with $values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    {{- include "waybill.volumes" $root | nindent 4 }}
{{- end -}}
