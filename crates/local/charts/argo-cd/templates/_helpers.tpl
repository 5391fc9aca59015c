{{/* Names, labels and images, by the rules of the public chart. */}}
{{- define "argo-cd.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "argo-cd.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "argo-cd.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "argo-cd.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{- define "argo-cd.selectorLabels" -}}
app.kubernetes.io/name: {{ include "argo-cd.name" .context }}-{{ .name }}
app.kubernetes.io/instance: {{ .context.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "argo-cd.labels" -}}
helm.sh/chart: {{ .context.Chart.Name }}-{{ .context.Chart.Version }}
{{ include "argo-cd.selectorLabels" . }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
app.kubernetes.io/part-of: argocd
app.kubernetes.io/version: {{ .context.Values.global.image.tag | default .context.Chart.AppVersion | quote }}
{{- with .context.Values.global.additionalLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of a configuration object, whose name has no component in it. */}}
{{- define "argo-cd.configLabels" -}}
helm.sh/chart: {{ .context.Chart.Name }}-{{ .context.Chart.Version }}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .context.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
app.kubernetes.io/part-of: argocd
app.kubernetes.io/version: {{ .context.Values.global.image.tag | default .context.Chart.AppVersion | quote }}
{{- with .context.Values.global.additionalLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "argo-cd.image" -}}
{{- $global := .context.Values.global.image -}}
{{- $own := .values.image | default dict -}}
{{ $own.repository | default $global.repository }}:{{ $own.tag | default $global.tag | default .context.Chart.AppVersion }}
{{- end -}}

{{- define "argo-cd.serviceAccountName" -}}
{{- if .values.serviceAccount.create -}}
{{- .values.serviceAccount.name | default (printf "%s-%s" (include "argo-cd.fullname" .context) .values.name) -}}
{{- else -}}
{{- .values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* The data of argocd-cmd-params-cm: where the parts find each other. */}}
{{- define "argo-cd.params" -}}
{{- $full := include "argo-cd.fullname" . -}}
{{- $log := .Values.global.logging -}}
{{- $params := dict
  "repo.server" (printf "%s-%s:%v" $full .Values.repoServer.name .Values.repoServer.containerPorts.server)
  "redis.server" (printf "%s-%s:%v" $full .Values.redis.name .Values.redis.servicePort)
  "server.dex.server" (printf "https://%s-%s:5556" $full .Values.dex.name)
  "server.dex.server.strict.tls" "false"
  "server.repo.server.strict.tls" "false"
  "applicationsetcontroller.enable.leader.election" (ternary "true" "false" (gt (int .Values.applicationSet.replicas) 1)) -}}
{{- range list "applicationsetcontroller" "controller" "dexserver" "notificationscontroller" "reposerver" "server" }}
{{- $_ := set $params (printf "%s.log.format" .) $log.format }}
{{- $_ := set $params (printf "%s.log.level" .) $log.level }}
{{- end }}
{{- range $key, $value := omit .Values.configs.params "create" "annotations" }}
{{- $_ := set $params $key (toString $value) }}
{{- end }}
{{- toYaml $params }}
{{- end -}}

{{/* The data of argocd-cm. */}}
{{- define "argo-cd.config" -}}
{{- $config := dict "url" (printf "https://%s" .Values.global.domain) -}}
{{- range $key, $value := omit .Values.configs.cm "create" "annotations" }}
{{- $_ := set $config $key (toString $value) }}
{{- end }}
{{- toYaml $config }}
{{- end -}}
