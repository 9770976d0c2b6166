"""Which values does charts/attache-injector take, and what do they mean?"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from agent.config.fields import Name, Port, Strict
from agent.inject.settings import Settings
from charts.values import Image, Object, Objects, ServiceAccount


class Certificate(Strict):
    """What the webhook proves itself with."""

    source: Literal["own", "cert-manager"] = Field(
        default="own",
        description="own: made, kept in a Secret and rotated by the webhook itself. cert-manager: "
        "a Certificate, and its CA injector writes caBundle.",
    )
    life: Annotated[str, Field(pattern="^[0-9]+[hd]$")] = Field(
        default="90d", description="own: how long each is valid; renewed after two thirds."
    )
    issuer_ref: Object = Field(
        default={}, description="cert-manager: who signs; empty: an Issuer of our own."
    )


class DisruptionBudget(Strict):
    """How many replicas stay while nodes are drained."""

    enabled: bool = Field(default=True, description="Make one.")
    min_available: Annotated[int, Field(ge=1)] = Field(default=1, description="How many stay.")


class Network(Strict):
    """A NetworkPolicy: reviews come in, the API server is asked, and nothing else."""

    enabled: bool = Field(default=True, description="Make one.")
    api_servers: Objects = Field(
        default=[],
        description="Peers from which reviews come; empty: anybody, for the API server's address "
        "is the provider's. A review reveals nothing but what a pod would look like.",
    )
    api_server_ports: list[Port] = Field(
        default=[443, 6443], description="Where the API server is asked."
    )
    metrics_from: Objects = Field(default=[], description="Peers that may scrape; empty: none.")


class Monitor(Strict):
    """A ServiceMonitor of the Prometheus operator."""

    enabled: bool = Field(default=False, description="Make one.")
    interval: str = Field(default="30s", description="How often it is scraped.")
    labels: dict[str, str] = Field(default={}, description="Labels that your Prometheus selects.")


class Rule(Strict):
    """A PrometheusRule: the certificate's end, and faults."""

    enabled: bool = Field(default=False, description="Make one.")
    labels: dict[str, str] = Field(default={}, description="Labels that your Prometheus selects.")


_RESOURCES: Object = {"requests": {"cpu": "20m", "memory": "96Mi"}, "limits": {"memory": "384Mi"}}


class InjectorValues(Strict):
    """values.yaml of charts/attache-injector."""

    injector: Settings = Settings()
    failure_policy: Literal["Fail", "Ignore"] = Field(
        default="Fail",
        description="While no replica answers. Fail: pods that ask for an agent are not created, "
        "all others are. Ignore: they start WITHOUT one.",
    )
    annotations: bool = Field(
        default=True,
        description="Pods ask by annotation or label, in any namespace (matchConditions, "
        "Kubernetes 1.28). false: by label only.",
    )
    excluded_namespaces: list[Name] = Field(
        default=[],
        description="Where no pod is touched, besides kube-system, kube-public, kube-node-lease "
        "and the webhook's own namespace, which never are.",
    )
    timeout_seconds: Annotated[int, Field(ge=1, le=30)] = Field(
        default=10, description="How long the API server waits for an answer."
    )
    certificate: Certificate = Certificate()
    replicas: Annotated[int, Field(ge=1)] = Field(default=2, description="How many pods answer.")
    image: Image = Image(repository="localhost/attache")
    image_pull_secrets: Objects = Field(default=[], description="For private registries.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The webhook's own."
    )
    resources: Object = Field(default=_RESOURCES, description="Requests and limits of each pod.")
    service_account: ServiceAccount = ServiceAccount()
    pod_disruption_budget: DisruptionBudget = DisruptionBudget()
    network_policy: Network = Network()
    service_monitor: Monitor = Monitor()
    prometheus_rule: Rule = Rule()
    priority_class_name: str = Field(default="", description="Such as system-cluster-critical.")
    pod_labels: dict[str, str] = Field(default={}, description="Further labels of each pod.")
    pod_annotations: dict[str, str] = Field(default={}, description="Further annotations.")
    node_selector: dict[str, str] = Field(default={}, description="Where pods run.")
    tolerations: Objects = Field(default=[], description="Which taints they bear.")
    affinity: Object = Field(default={}, description="Besides the spread over nodes.")
