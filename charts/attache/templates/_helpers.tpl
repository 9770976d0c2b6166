{{/* The shape of the pod: docs/decisions/017-shape-of-the-pod.md. `attache inject` patches in the same. */}}

{{- define "attache.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/*
Running pods take over a changed configuration, unless it needs what they do not have: another mount,
or a restart. Then it has another name, so that the pods of before keep theirs until they are replaced.
*/}}
{{- define "attache.configMapName" -}}
{{- if .Values.existingConfigMap -}}
{{- .Values.existingConfigMap -}}
{{- else -}}
{{- $needs := list .Values.secrets .Values.workloadIdentity .Values.interception (pick .Values.config "agent" "audit" "envoy") -}}
{{- printf "%s-%s" (include "attache.fullname" . | trunc 54 | trimSuffix "-") (toJson $needs | sha256sum | trunc 8) -}}
{{- end -}}
{{- end -}}

{{- define "attache.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "attache.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "attache.selectorLabels" -}}
{{- if .Values.selectorLabels -}}
{{- toYaml .Values.selectorLabels -}}
{{- else -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}
{{- end -}}

{{- define "attache.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{ include "attache.selectorLabels" . }}
{{- end -}}

{{/* One image: a dict with `root` and `image`. */}}
{{- define "attache.image" -}}
{{- if .image.digest -}}
{{ .image.repository }}@{{ .image.digest }}
{{- else -}}
{{ .image.repository }}:{{ default .root.Chart.AppVersion .image.tag }}
{{- end -}}
{{- end -}}

{{/* The ports of the configuration, or what `ports` says of a ConfigMap that is not ours. */}}
{{- define "attache.inboundPort" -}}
{{- if .Values.existingConfigMap -}}
{{- .Values.ports.inbound -}}
{{- else if hasKey (default dict .Values.config.listeners) "inbound" -}}
{{- dig "listeners" "inbound" "port" 15006 .Values.config -}}
{{- end -}}
{{- end -}}

{{- define "attache.outboundPort" -}}
{{- if .Values.existingConfigMap -}}
{{- .Values.ports.outbound -}}
{{- else if hasKey (default dict .Values.config.listeners) "outbound" -}}
{{- dig "listeners" "outbound" "port" 15001 .Values.config -}}
{{- end -}}
{{- end -}}

{{- define "attache.securityContext" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: 10020
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "attache.initContainer" -}}
{{- $redirect := eq .Values.interception.mode "redirect" -}}
- name: attache-init
  image: {{ include "attache.image" (dict "root" . "image" (ternary .Values.initImage .Values.image $redirect)) }}
  imagePullPolicy: {{ (ternary .Values.initImage .Values.image $redirect).pullPolicy }}
  command: [attache, pod, prepare]
  args:
    - --config
    - /etc/attache/attache.yaml
    - --bootstrap
    - /run/attache/envoy.json
    {{- if $redirect }}
    - --redirect
    {{- with .Values.interception.excludeInboundPorts }}
    - --exclude-inbound-ports
    - {{ join "," . | quote }}
    {{- end }}
    {{- with .Values.interception.excludeOutboundPorts }}
    - --exclude-outbound-ports
    - {{ join "," . | quote }}
    {{- end }}
    {{- with .Values.interception.excludeOutboundCidrs }}
    - --exclude-outbound-cidrs
    - {{ join "," . | quote }}
    {{- end }}
    {{- end }}
  securityContext:
    {{- if $redirect }}
    runAsNonRoot: false
    runAsUser: 0
    runAsGroup: 0
    readOnlyRootFilesystem: true
    allowPrivilegeEscalation: false
    capabilities: {drop: [ALL], add: [NET_ADMIN]}
    seccompProfile: {type: RuntimeDefault}
    {{- else }}
    {{- include "attache.securityContext" 10020 | nindent 4 }}
    {{- end }}
  resources: {{- toYaml .Values.init.resources | nindent 4 }}
  volumeMounts:
    - {name: attache-config, mountPath: /etc/attache, readOnly: true}
    - {name: attache-run, mountPath: /run/attache}
{{- end -}}

{{- define "attache.sidecars" -}}
{{- $native := eq .Values.sidecars "native" -}}
{{- $inbound := include "attache.inboundPort" . -}}
- name: attache
  image: {{ include "attache.image" (dict "root" . "image" .Values.image) }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  {{- if $native }}
  restartPolicy: Always
  {{- end }}
  command: [attache, run]
  args: [--config, /etc/attache/attache.yaml, --probes, "0.0.0.0:15021", --log-level, {{ .Values.agent.logLevel }}]
  {{- if or .Values.workloadIdentity.enabled .Values.agent.env }}
  env:
    {{- if .Values.workloadIdentity.enabled }}
    - {name: AZURE_CLIENT_ID, value: {{ .Values.workloadIdentity.clientId | quote }}}
    - {name: AZURE_TENANT_ID, value: {{ .Values.workloadIdentity.tenantId | quote }}}
    - {name: AZURE_AUTHORITY_HOST, value: {{ .Values.workloadIdentity.authorityHost | quote }}}
    - {name: AZURE_FEDERATED_TOKEN_FILE, value: /var/run/secrets/azure/tokens/azure-identity-token}
    {{- end }}
    {{- with .Values.agent.env }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
  livenessProbe:
    httpGet: {path: /livez, port: 15021}
    initialDelaySeconds: 10
    periodSeconds: 20
    timeoutSeconds: 5
    failureThreshold: 6
  lifecycle:
    preStop:
      exec:
        {{- if $native }}
        command: [touch, /run/attache/leaving]
        {{- else }}
        command: [sh, -c, "touch /run/attache/leaving; exec sleep 20"]
        {{- end }}
  securityContext: {{- include "attache.securityContext" 10020 | nindent 4 }}
  resources: {{- toYaml .Values.agent.resources | nindent 4 }}
  volumeMounts:
    - {name: attache-config, mountPath: /etc/attache, readOnly: true}
    - {name: attache-run, mountPath: /run/attache}
    - {name: attache-tmp, mountPath: /tmp}
    {{- range $index, $secret := .Values.secrets }}
    - {name: attache-secret-{{ $index }}, mountPath: {{ $secret.mountPath }}, readOnly: true}
    {{- end }}
    {{- if .Values.workloadIdentity.enabled }}
    - {name: azure-identity-token, mountPath: /var/run/secrets/azure/tokens, readOnly: true}
    {{- end }}
- name: attache-envoy
  image: {{ include "attache.image" (dict "root" . "image" .Values.envoyImage) }}
  imagePullPolicy: {{ .Values.envoyImage.pullPolicy }}
  {{- if $native }}
  restartPolicy: Always
  {{- end }}
  command: [envoy]
  args:
    - -c
    - /run/attache/envoy.json
    - --concurrency
    - {{ .Values.envoy.concurrency | quote }}
    - --disable-hot-restart
    - --drain-strategy
    - immediate
    - --log-level
    - {{ .Values.envoy.logLevel }}
  ports:
    {{- if $inbound }}
    - {name: attache-in, containerPort: {{ $inbound }}, protocol: TCP}
    {{- end }}
    - {name: attache-probes, containerPort: 15021, protocol: TCP}
  startupProbe:
    httpGet: {path: /livez, port: attache-probes}
    periodSeconds: 1
    timeoutSeconds: 2
    failureThreshold: 60
  readinessProbe:
    httpGet: {path: /readyz, port: attache-probes}
    periodSeconds: 5
    timeoutSeconds: 2
    failureThreshold: 2
  {{- if not $native }}
  lifecycle:
    preStop:
      exec:
        command: [sleep, "20"]
  {{- end }}
  securityContext: {{- include "attache.securityContext" 10021 | nindent 4 }}
  resources: {{- toYaml .Values.envoy.resources | nindent 4 }}
  volumeMounts:
    - {name: attache-run, mountPath: /run/attache}
{{- end -}}

{{/* For spec.initContainers; the application's own come after. */}}
{{- define "attache.initContainers" -}}
{{- include "attache.refusals" . -}}
{{- include "attache.initContainer" . }}
{{- if eq .Values.sidecars "native" }}
{{ include "attache.sidecars" . }}
{{- end }}
{{- end -}}

{{/* For spec.containers, after the application's: empty where the sidecars are native. */}}
{{- define "attache.containers" -}}
{{- if ne .Values.sidecars "native" -}}
{{- include "attache.sidecars" . }}
{{- end -}}
{{- end -}}

{{/* For spec.volumes. */}}
{{- define "attache.volumes" -}}
- name: attache-config
  configMap:
    name: {{ include "attache.configMapName" . }}
- name: attache-run
  emptyDir: {medium: Memory, sizeLimit: 16Mi}
- name: attache-tmp
  emptyDir: {medium: Memory, sizeLimit: 16Mi}
{{- range $index, $secret := .Values.secrets }}
- name: attache-secret-{{ $index }}
  {{- if $secret.existingSecret }}
  secret:
    secretName: {{ $secret.existingSecret }}
    defaultMode: 0444
    {{- with $secret.items }}
    items: {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- else if $secret.existingConfigMap }}
  configMap:
    name: {{ $secret.existingConfigMap }}
    {{- with $secret.items }}
    items: {{- toYaml . | nindent 6 }}
    {{- end }}
  {{- else if $secret.secretProviderClass }}
  csi:
    driver: secrets-store.csi.k8s.io
    readOnly: true
    volumeAttributes:
      secretProviderClass: {{ $secret.secretProviderClass }}
  {{- else if $secret.serviceAccountToken }}
  projected:
    sources:
      - serviceAccountToken:
          path: {{ default "token" $secret.serviceAccountToken.path }}
          audience: {{ $secret.serviceAccountToken.audience }}
          expirationSeconds: {{ default 3600 $secret.serviceAccountToken.expirationSeconds }}
  {{- else }}
  {{- fail (printf "secrets[%d] (%s) names nothing to mount: write existingSecret, existingConfigMap, secretProviderClass or serviceAccountToken" $index $secret.mountPath) }}
  {{- end }}
{{- end }}
{{- if .Values.workloadIdentity.enabled }}
- name: azure-identity-token
  projected:
    sources:
      - serviceAccountToken:
          path: azure-identity-token
          audience: api://AzureADTokenExchange
          expirationSeconds: 3600
{{- end }}
{{- end -}}

{{/* For metadata.annotations of the pod. */}}
{{- define "attache.podAnnotations" -}}
attache.dev/injected: {{ .Chart.AppVersion | quote }}
{{- if .Values.workloadIdentity.enabled }}
azure.workload.identity/skip-containers: {{ join ";" (concat .Values.workloadIdentity.skipContainers (list "attache-init" "attache-envoy")) | quote }}
{{- end }}
{{- end -}}

{{/* For metadata.labels of the pod. */}}
{{- define "attache.podLabels" -}}
{{- if .Values.workloadIdentity.enabled -}}
azure.workload.identity/use: "true"
{{- end -}}
{{- end -}}

{{/* For env of the application: empty unless it has to ask Envoy as its proxy. */}}
{{- define "attache.env" -}}
{{- $port := include "attache.outboundPort" . -}}
{{- if and $port (eq .Values.interception.mode "proxy") -}}
{{- $none := join "," (concat (list "127.0.0.1" "localhost") .Values.interception.noProxy) -}}
- {name: HTTP_PROXY, value: "http://127.0.0.1:{{ $port }}"}
- {name: http_proxy, value: "http://127.0.0.1:{{ $port }}"}
- {name: NO_PROXY, value: {{ $none | quote }}}
- {name: no_proxy, value: {{ $none | quote }}}
{{- end -}}
{{- end -}}

{{/* For lifecycle of the application: it serves on until nobody sends it anything new. */}}
{{- define "attache.lifecycle" -}}
preStop:
  sleep: {seconds: {{ .Values.drainSeconds }}}
{{- end -}}
