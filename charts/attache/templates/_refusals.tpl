{{/* What would be unsafe or could not work is refused here, with a sentence that says what to do. */}}
{{- define "attache.refusals" -}}
{{- $config := .Values.config -}}
{{- $mode := .Values.interception.mode -}}
{{- if and (not $config) (not .Values.existingConfigMap) -}}
{{- fail "there is no configuration: write attache.yaml under config, or name a ConfigMap in existingConfigMap" -}}
{{- end -}}
{{- if and $config .Values.existingConfigMap -}}
{{- fail "config and existingConfigMap are both set, and one of them would not count: remove one" -}}
{{- end -}}
{{- $listeners := default dict $config.listeners -}}
{{- with $listeners.outbound -}}
{{- if ne (default "proxy" .mode) $mode -}}
{{- fail (printf "interception.mode is %s but config.listeners.outbound.mode is %s: write the same in both" $mode (default "proxy" .mode)) -}}
{{- end -}}
{{- if and (eq $mode "proxy") (not (has (default "127.0.0.1" .address) (list "127.0.0.1" "::1"))) -}}
{{- fail (printf "config.listeners.outbound.address is %s: whoever reaches the pod could use its credentials; write 127.0.0.1" .address) -}}
{{- end -}}
{{- end -}}
{{- with $listeners.inbound -}}
{{- if has (default "0.0.0.0" .address) (list "127.0.0.1" "::1") -}}
{{- fail (printf "config.listeners.inbound.address is %s, where no other pod can reach it: write 0.0.0.0, or :: for IPv6 too" .address) -}}
{{- end -}}
{{- if not (regexMatch "^(127\\.|localhost:|\\[::1\\])" .application) -}}
{{- fail (printf "config.listeners.inbound.application is %s: the application shares the pod's loopback, write 127.0.0.1 and its port" .application) -}}
{{- end -}}
{{- end -}}
{{- range $name, $port := dict "inbound" (include "attache.inboundPort" .) "outbound" (include "attache.outboundPort" .) -}}
{{- if eq (toString $port) "15021" -}}
{{- fail (printf "config.listeners.%s.port is 15021, where Envoy answers kubelet: choose another" $name) -}}
{{- end -}}
{{- end -}}
{{- with dig "agent" "socket" "" $config -}}
{{- if ne (dir .) "/run/attache" -}}
{{- fail (printf "config.agent.socket is %s, but agent and Envoy share /run/attache only: leave it out, or write a name there" .) -}}
{{- end -}}
{{- end -}}
{{- if and (eq $mode "proxy") (or .Values.interception.excludeInboundPorts .Values.interception.excludeOutboundPorts .Values.interception.excludeOutboundCidrs) -}}
{{- fail "interception.exclude… belongs to mode redirect: in proxy mode nothing is redirected; remove it, or use noProxy" -}}
{{- end -}}
{{- range $key := list "securityContext" "podSecurityContext" -}}
{{- $uid := dig $key "runAsUser" 1 $.Values.workload | int -}}
{{- if has $uid (list 10020 10021) -}}
{{- fail (printf "workload.%s.runAsUser is %d, a user whose packets are not redirected: choose another" $key $uid) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.workloadIdentity.enabled (not .Values.workloadIdentity.clientId) -}}
{{- fail "workloadIdentity.enabled needs workloadIdentity.clientId: write the client id of the managed identity or app registration" -}}
{{- end -}}
{{- $mounts := list "/run/attache/" "/etc/attache/" "/tmp/" -}}
{{- if .Values.workloadIdentity.enabled -}}
{{- $mounts = append $mounts "/var/run/secrets/" -}}
{{- end -}}
{{- range .Values.secrets -}}
{{- $mounts = append $mounts (printf "%s/" (trimSuffix "/" .mountPath)) -}}
{{- end -}}
{{- include "attache.mounted" (dict "value" (omit $config "agent" "audit") "path" "config" "mounts" $mounts) -}}
{{- end -}}

{{/* Every file that the configuration names lies in something that is mounted. */}}
{{- define "attache.mounted" -}}
{{- $at := . -}}
{{- if kindIs "map" .value -}}
{{- range $key, $value := .value -}}
{{- $path := printf "%s.%s" $at.path $key -}}
{{- if and (kindIs "string" $value) (or (hasSuffix "File" $key) (has $key (list "file" "keys" "snapshot"))) -}}
{{- $found := false -}}
{{- range $at.mounts -}}
{{- if hasPrefix . (printf "%s/" (trimSuffix "/" $value)) -}}{{- $found = true -}}{{- end -}}
{{- end -}}
{{- if not $found -}}
{{- if not (hasPrefix "/" $value) -}}
{{- fail (printf "%s is no absolute path: it names a file that `secrets` mounts, and is never the secret itself" $path) -}}
{{- end -}}
{{- fail (printf "%s is %s, and nothing is mounted there: add an entry to secrets with that folder as mountPath" $path $value) -}}
{{- end -}}
{{- else -}}
{{- include "attache.mounted" (dict "value" $value "path" $path "mounts" $at.mounts) -}}
{{- end -}}
{{- end -}}
{{- else if kindIs "slice" .value -}}
{{- range $index, $value := .value -}}
{{- include "attache.mounted" (dict "value" $value "path" (printf "%s[%d]" $at.path $index) "mounts" $at.mounts) -}}
{{- end -}}
{{- end -}}
{{- end -}}
