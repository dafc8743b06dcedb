{{- define "sluice.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "sluice.control" -}}
{{- include "sluice.name" . }}-control
{{- end -}}

{{- define "sluice.data" -}}
{{- include "sluice.name" . }}-data
{{- end -}}

{{- define "sluice.selector" -}}
app.kubernetes.io/name: sluice
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "sluice.image" -}}
{{- .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion -}}
{{- end -}}

{{/* The control nodes, by the names of their pods: any of them is asked. */}}
{{- define "sluice.members" -}}
{{- $members := list -}}
{{- range $each := until (int .Values.control.replicas) -}}
{{- $pod := printf "%s-%d.%s" (include "sluice.control" $) $each (include "sluice.control" $) -}}
{{- $members = append $members (printf "https://%s.%s.svc:7100" $pod $.Release.Namespace) -}}
{{- end -}}
{{- join "," $members -}}
{{- end -}}

{{/* What every pod of this chart is. Service links would put variables that begin with SLUICE_ into it, which the daemons
refuse as slips of the pen. */}}
{{- define "sluice.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "sluice.container" -}}
image: {{ include "sluice.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}
