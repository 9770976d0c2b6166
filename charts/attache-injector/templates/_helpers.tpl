{{- define "attache-injector.fullname" -}}
{{- if contains "attache-injector" .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-attache-injector" (.Release.Name | trunc 33 | trimSuffix "-") }}
{{- end -}}
{{- end -}}

{{/* Of the cluster, and so named with the namespace: two releases do not meet. */}}
{{- define "attache-injector.clusterName" -}}
{{ printf "%s-%s" (include "attache-injector.fullname" .) .Release.Namespace | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "attache-injector.selectorLabels" -}}
app.kubernetes.io/name: attache-injector
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "attache-injector.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{ include "attache-injector.selectorLabels" . }}
{{- end -}}

{{- define "attache-injector.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}
{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create -}}
{{ include "attache-injector.fullname" . }}
{{- else -}}
{{- fail "serviceAccount.create is false and serviceAccount.name is empty: name the account that the webhook runs as" -}}
{{- end -}}
{{- end -}}

{{- define "attache-injector.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ default $.Chart.AppVersion .tag }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "attache-injector.certManager" -}}
{{- if eq .Values.certificate.source "cert-manager" -}}true{{- end -}}
{{- end -}}

{{/* What would be unsafe or could not work is refused here, with a sentence that says what to do. */}}
{{- define "attache-injector.refusals" -}}
{{- if and .Values.annotations (semverCompare "<1.28.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "Kubernetes %s has no matchConditions, so every new pod would wait for the webhook: set annotations: false, and let pods ask by the label attache.dev/inject" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if and (eq .Values.injector.sidecars "native") (semverCompare "<1.29.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "Kubernetes %s has no native sidecars: set injector.sidecars: ordinary, and injector.drainSeconds: 0" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if and (gt (int .Values.injector.drainSeconds) 0) (semverCompare "<1.30.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "Kubernetes %s has no sleep hook, and would refuse every pod that gets one: set injector.drainSeconds: 0" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- with .Values.podDisruptionBudget -}}
{{- if and .enabled (ge (int .minAvailable) (int $.Values.replicas)) -}}
{{- fail (printf "podDisruptionBudget.minAvailable is %d of %d replicas, so no node could ever be drained: raise replicas, or disable the budget" (int .minAvailable) (int $.Values.replicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
