"""Which values does charts/attache take, and what do they mean? values.yaml is made from this."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from agent.config.fields import Port, Strict

Object = dict[str, Any]
"""A part of Kubernetes' own API, passed on as it stands."""
Objects = list[Object]
Seconds = Annotated[int, Field(ge=0, le=3600)]
Mount = Annotated[str, Field(pattern=r"^/[^\s:]*$")]


class Image(Strict):
    """Where an image is."""

    repository: str = Field(min_length=1, description="Registry and name.")
    tag: str = Field(default="", description="The tag; empty: the chart's appVersion.")
    digest: str = Field(
        default="", pattern=r"^(sha256:[0-9a-f]{64})?$", description="sha256:…; beats the tag."
    )
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="When it is pulled."
    )


def _resources(cpu: str, memory: str, limit: str) -> Any:
    amounts = {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": limit}}
    return Field(default=amounts, description="Requests and limits; there is no CPU limit.")


class Interception(Strict):
    """How the pod's traffic reaches Envoy."""

    mode: Literal["proxy", "redirect"] = Field(
        default="proxy",
        description="proxy: the Service leads to Envoy, the application listens on loopback and "
        "uses HTTP_PROXY (Pod Security restricted). redirect: an init container with NET_ADMIN "
        "redirects all TCP. The same as config.listeners.outbound.mode.",
    )
    exclude_inbound_ports: list[Port] = Field(
        default=[], description="redirect: ports of the application that are reached past Envoy."
    )
    exclude_outbound_ports: list[Port] = Field(
        default=[], description="redirect: ports anywhere that the application reaches past Envoy."
    )
    exclude_outbound_cidrs: list[Annotated[str, Field(pattern=r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")]] = (
        Field(default=[], description="redirect: networks that it reaches past Envoy, v4 or v6.")
    )
    no_proxy: list[str] = Field(
        default=[], description="proxy: hosts that the application reaches past Envoy (NO_PROXY)."
    )


class Ports(Strict):
    """The ports of a configuration that the chart cannot read."""

    inbound: Port = Field(default=15006, description="listeners.inbound.port.")
    outbound: Port = Field(default=15001, description="listeners.outbound.port.")


class Agent(Strict):
    """The container `attache`."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="How much it logs; audit records are always written."
    )
    env: Objects = Field(default=[], description="Further variables.")
    resources: Object = _resources("50m", "96Mi", "256Mi")


class Envoy(Strict):
    """The container `attache-envoy`."""

    concurrency: Annotated[int, Field(ge=1, le=64)] = Field(
        default=2, description="Worker threads."
    )
    log_level: Literal["trace", "debug", "info", "warning", "error", "critical"] = Field(
        default="warning", description="How much it logs."
    )
    resources: Object = _resources("50m", "64Mi", "512Mi")


class Init(Strict):
    """The container `attache-init`."""

    resources: Object = _resources("10m", "64Mi", "256Mi")


class Token(Strict):
    """A token of the pod's service account."""

    audience: str = Field(min_length=1, description="Its aud.")
    expiration_seconds: Annotated[int, Field(ge=600)] = Field(
        default=3600, description="Its life; kubelet renews it."
    )
    path: str = Field(default="token", description="The file's name.")


class Secret(Strict):
    """One thing that is mounted into the agent alone. Exactly one source."""

    mount_path: Mount = Field(description="The folder that attache.yaml names files in.")
    existing_secret: str | None = Field(default=None, description="A Secret's name.")
    existing_config_map: str | None = Field(
        default=None, description="A ConfigMap's name: CA certificates, public keys, lists."
    )
    secret_provider_class: str | None = Field(
        default=None, description="A SecretProviderClass of the Secrets Store CSI driver."
    )
    service_account_token: Token | None = Field(
        default=None, description="A projected token of the pod's service account."
    )
    items: Objects = Field(default=[], description="Which keys become which files (key, path).")


class WorkloadIdentity(Strict):
    """Microsoft Entra Workload ID."""

    enabled: bool = Field(
        default=False,
        description="Project the federated token into the agent alone, label the pod and annotate "
        "the service account.",
    )
    client_id: str = Field(default="", description="The identity's client id.")
    tenant_id: str = Field(default="", description="Its tenant.")
    authority_host: str = Field(
        default="https://login.microsoftonline.com/", description="For sovereign clouds."
    )
    skip_containers: list[str] = Field(
        default=["application"],
        description="Containers to which the webhook gives no token: the application's.",
    )


class KeyVaultObject(Strict):
    """One object of a key vault."""

    object_name: str = Field(description="Its name in the vault.")
    object_type: Literal["secret", "key", "cert"] = Field(default="secret", description="Its kind.")
    object_alias: str = Field(default="", description="The file's name, if another.")


class KeyVault(Strict):
    """A SecretProviderClass for Azure Key Vault; mount it by secrets[].secretProviderClass."""

    enabled: bool = Field(default=False, description="Make one.")
    class_name: str = Field(default="", description="Its name.")
    name: str = Field(default="", description="The vault's name.")
    tenant_id: str = Field(default="", description="The vault's tenant.")
    client_id: str = Field(
        default="", description="Who reads it; empty: workloadIdentity.clientId."
    )
    objects: list[KeyVaultObject] = Field(default=[], description="What is read.")


class ServiceAccount(Strict):
    """Who the pod is in the cluster."""

    create: bool = Field(default=True, description="Make one.")
    name: str = Field(default="", description="Its name, if another than the release's.")
    annotations: dict[str, str] = Field(default={}, description="Further annotations.")


_HARDENED: Object = {
    "runAsNonRoot": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


class Workload(Strict):
    """The application, where this chart deploys it."""

    image: str = Field(
        default="", description="Its image with tag. Empty: another chart includes our templates."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        default="IfNotPresent", description="When it is pulled."
    )
    name: str = Field(default="application", description="The container's name.")
    replicas: Annotated[int, Field(ge=0)] = Field(default=2, description="How many pods.")
    command: list[str] = Field(default=[], description="Instead of the image's entry point.")
    args: list[str] = Field(default=[], description="Instead of the image's arguments.")
    env: Objects = Field(default=[], description="Its variables.")
    ports: Objects = Field(
        default=[], description="For documentation: Envoy's port is what counts."
    )
    startup_probe: Object = Field(
        default={}, description="Its own probe. kubelet asks through Envoy: port attache-in."
    )
    readiness_probe: Object = Field(
        default={}, description="The same; the path is an anonymous route of the configuration."
    )
    liveness_probe: Object = Field(default={}, description="The same, or an exec probe.")
    security_context: Object = Field(default=_HARDENED, description="Of its container.")
    pod_security_context: Object = Field(default={}, description="Of the whole pod.")
    resources: Object = Field(default={}, description="Its requests and limits.")
    volumes: Objects = Field(default=[], description="Further volumes of the pod.")
    volume_mounts: Objects = Field(default=[], description="What of them it sees.")
    init_containers: Objects = Field(
        default=[], description="Its own init containers; they run when Envoy is up."
    )
    labels: dict[str, str] = Field(default={}, description="Further labels of the pod.")
    annotations: dict[str, str] = Field(default={}, description="Further annotations of the pod.")
    strategy: Object = Field(
        default={
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
        },
        description="How a new version takes over: no pod goes before another is ready.",
    )
    termination_grace_period_seconds: Seconds = Field(
        default=45, description="How long a pod may take to end; more than drainSeconds."
    )
    automount_service_account_token: bool = Field(
        default=False, description="Whether the application sees the service account's token."
    )
    node_selector: dict[str, str] = Field(default={}, description="On which nodes.")
    tolerations: Objects = Field(default=[], description="What it tolerates.")
    affinity: Object = Field(default={}, description="Near what, far from what.")
    topology_spread_constraints: Objects = Field(default=[], description="How pods are spread.")


class Service(Strict):
    """Where callers find the pods: at Envoy."""

    enabled: bool = Field(default=True, description="Make one, where workload.image is set.")
    name: str = Field(default="", description="Its name, if another than the release's.")
    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(
        default="ClusterIP", description="Its type."
    )
    port: Port = Field(default=80, description="Its port; it leads to the inbound listener.")
    annotations: dict[str, str] = Field(default={}, description="Its annotations.")


class PodDisruptionBudget(Strict):
    """How many pods a drained node may take at once."""

    enabled: bool = Field(default=False, description="Make one.")
    min_available: int | str | None = Field(default=None, description="How many stay.")
    max_unavailable: int | str | None = Field(
        default=None, description="How many may go; 1 where neither is set."
    )


class NetworkPolicy(Strict):
    """Who may connect to the pods at all."""

    enabled: bool = Field(default=False, description="Make one: only Envoy's ports are open.")
    source: Objects = Field(
        default=[], alias="from", description="Who reaches the inbound listener; empty: anybody."
    )
    metrics_from: Objects = Field(
        default=[], description="Who else than kubelet reaches 15021 (probes, metrics)."
    )
    ingress: Objects = Field(default=[], description="Further ingress rules.")
    egress: Objects = Field(
        default=[], description="Egress rules; empty: everything. DNS and the issuers are needed."
    )


class ServiceMonitor(Strict):
    """For the Prometheus operator."""

    enabled: bool = Field(default=False, description="Make one, and a headless Service for it.")
    interval: str = Field(default="30s", description="How often it asks.")
    labels: dict[str, str] = Field(default={}, description="By which Prometheus finds it.")


class PrometheusRule(Strict):
    """Alerts for the Prometheus operator."""

    enabled: bool = Field(default=False, description="Make them.")
    labels: dict[str, str] = Field(default={}, description="By which Prometheus finds them.")
    rules: Objects = Field(default=[], description="Further rules.")


class Values(Strict):
    """values.yaml of charts/attache."""

    config: Object = Field(
        default={}, description="attache.yaml, to the letter; `attache check` knows it as well."
    )
    existing_config_map: str = Field(
        default="", description="Instead of config: a ConfigMap with the key attache.yaml."
    )
    ports: Ports = Field(
        default=Ports(), description="The ports of the configuration in existingConfigMap."
    )
    sidecars: Literal["native", "ordinary"] = Field(
        default="native",
        description="native: init containers that stay (Kubernetes 1.29, drainSeconds 1.30). "
        "ordinary: containers, for older clusters.",
    )
    interception: Interception = Interception()
    secrets: list[Secret] = Field(
        default=[], description="What is mounted into the agent, and into nothing else."
    )
    image: Image = Image(repository="localhost/attache")
    init_image: Image = Image(repository="localhost/attache-init")
    envoy_image: Image = Image(repository="docker.io/envoyproxy/envoy", tag="v1.40.0")
    image_pull_secrets: Objects = Field(default=[], description="For private registries.")
    agent: Agent = Agent()
    envoy: Envoy = Envoy()
    init: Init = Init()
    workload: Workload = Workload()
    drain_seconds: Seconds = Field(
        default=5,
        description="How long a pod that is to end serves on, until all know that it ends.",
    )
    service: Service = Service()
    service_account: ServiceAccount = ServiceAccount()
    workload_identity: WorkloadIdentity = WorkloadIdentity()
    key_vault: KeyVault = KeyVault()
    pod_disruption_budget: PodDisruptionBudget = PodDisruptionBudget()
    network_policy: NetworkPolicy = NetworkPolicy()
    service_monitor: ServiceMonitor = ServiceMonitor()
    prometheus_rule: PrometheusRule = PrometheusRule()
    selector_labels: dict[str, str] = Field(
        default={}, description="The pods' labels, where another chart includes our templates."
    )
    name_override: str = Field(default="", description="Instead of the chart's name.")
    fullname_override: str = Field(default="", description="Instead of the release's name.")
