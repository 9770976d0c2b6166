"""Does our part of the pod pass the Pod Security level of its namespace?

The application's own containers are the API server's to judge; it does so right after us.
https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from agent.inject import names
from agent.inject.refusal import Refusal
from agent.inject.wish import Wish

Level = Literal["privileged", "baseline", "restricted"]
LEVELS: tuple[Level, ...] = get_args(Level)
LABEL = "pod-security.kubernetes.io/enforce"


def level_of(labels: Mapping[str, str]) -> Level:
    """What a namespace with these *labels* enforces.

    A word that is no level counts as restricted, as it does for the API server.
    """
    said = labels.get(LABEL, "privileged")
    return next((level for level in LEVELS if level == said), "restricted")


def forbidden(asked: Wish, level: Level | None) -> Refusal | None:
    """Proxy mode passes every level; NET_ADMIN passes 'privileged' only (see Capabilities)."""
    if asked.mode == "redirect" and level is None:
        return Refusal(
            "", "the Pod Security level of the namespace is not known, for the API server did not "
            "tell it", "try again; the injector's log says what it answered",
        )  # fmt: skip
    if asked.mode == "redirect" and level != "privileged":
        return Refusal(
            "", f"the namespace enforces Pod Security '{level}', which forbids the NET_ADMIN that "
            "redirect mode's init container needs",
            f'write {names.MODE}: "proxy" (and listeners.outbound.mode: proxy), or give the '
            "workload a namespace that enforces 'privileged'",
        )  # fmt: skip
    return None
