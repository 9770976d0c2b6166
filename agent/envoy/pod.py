"""In what kind of pod does Envoy stand, beyond what attache.yaml says?"""

from __future__ import annotations

from dataclasses import dataclass

from agent.config.fields import Address


@dataclass(frozen=True, slots=True)
class Pod:
    """What only Kubernetes wants of Envoy (docs/decisions/017-shape-of-the-pod.md).

    *probes* is where Envoy answers kubelet and Prometheus for the agent. *leaving* says that the
    pod is about to end: callers are to go elsewhere, with their next request at the latest.
    """

    probes: Address | None = None
    leaving: bool = False


ALONE = Pod()
