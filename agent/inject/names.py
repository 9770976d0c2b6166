"""Which words does a pod ask with, and what is our part of it called? (docs/decisions/017)"""

from __future__ import annotations

PREFIX = "attache.dev/"

INJECT = PREFIX + "inject"
CONFIG = PREFIX + "config"
MODE = PREFIX + "mode"
APPLICATION_PORT = PREFIX + "application-port"
INBOUND_PORT = PREFIX + "inbound-port"
OUTBOUND_PORT = PREFIX + "outbound-port"
EXCLUDE_INBOUND_PORTS = PREFIX + "exclude-inbound-ports"
EXCLUDE_OUTBOUND_PORTS = PREFIX + "exclude-outbound-ports"
EXCLUDE_OUTBOUND_CIDRS = PREFIX + "exclude-outbound-cidrs"
SECRETS = PREFIX + "secrets"
CONFIG_MAPS = PREFIX + "config-maps"
SECRET_PROVIDER_CLASSES = PREFIX + "secret-provider-classes"
TOKENS = PREFIX + "service-account-tokens"
LOG_LEVEL = PREFIX + "log-level"
IMAGE = PREFIX + "image"
ENVOY_IMAGE = PREFIX + "envoy-image"

ASKED: dict[str, str] = {
    INJECT: 'Whether the pod gets an agent: "true" or "false". Also a label.',
    CONFIG: "The ConfigMap whose key attache.yaml is the configuration.",
    MODE: "proxy or redirect; the same as listeners.outbound.mode.",
    APPLICATION_PORT: "proxy mode: the port of listeners.inbound.application; its probes are sent "
    "through Envoy.",
    INBOUND_PORT: 'listeners.inbound.port, or "none" where there is no inbound listener.',
    OUTBOUND_PORT: 'listeners.outbound.port, or "none" where there is no outbound listener.',
    EXCLUDE_INBOUND_PORTS: "redirect mode: ports of the pod that stay open without a decision.",
    EXCLUDE_OUTBOUND_PORTS: "redirect mode: ports that the pod reaches past Envoy.",
    EXCLUDE_OUTBOUND_CIDRS: "redirect mode: networks that the pod reaches past Envoy.",
    SECRETS: "Secrets that attache.yaml names files of: name=/path, several with commas; the path "
    "is /secrets where none is said.",
    CONFIG_MAPS: "The same for ConfigMaps, such as a trust document: name=/path.",
    SECRET_PROVIDER_CLASSES: "The same for the Secrets Store CSI driver: name=/path.",
    TOKENS: "Tokens of the pod's service account: audience=/folder/file.",
    LOG_LEVEL: "debug, info, warning or error.",
    IMAGE: "Another image of the agent; only where the operator allows it.",
    ENVOY_IMAGE: "Another image of Envoy; only where the operator allows it.",
}
"""Every annotation that a pod may carry; docs/inject.md has the same table."""

INJECTED = PREFIX + "injected"
"""Says that it is done, and by which version."""
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"

INIT, AGENT, ENVOY = "attache-init", "attache", "attache-envoy"
CONTAINERS = (INIT, AGENT, ENVOY)
VOLUMES = "attache-"
"""What the names of our volumes begin with."""

AGENT_UID, ENVOY_UID, GROUP = 10020, 10021, 10020
PROBES_PORT = 15021
OWN_PORTS = frozenset({15000, 15020, PROBES_PORT})
"""Envoy's admin, the agent's, and where both answer kubelet."""


def table() -> str:
    """The rows of the table in docs/inject.md."""
    return "\n".join(f"| `{name}` | {words} |" for name, words in ASKED.items())
