"""Which routes can never decide, because an earlier one takes every request that they name?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agent.config.routes import Route
from agent.policy.routes import KNOWN_METHODS, Rule, compiled


def shadowed(routes: Sequence[Route]) -> Iterator[tuple[int, int]]:
    """Pairs of routes: one that never decides, and the earlier one that is in its way."""
    rules = [compiled(route) for route in routes]
    for index, rule in enumerate(rules):
        for earlier in range(index):
            if _covers(rules[earlier], rule):
                yield index, earlier
                break


def warnings(routes: Sequence[Route]) -> list[str]:
    """What a person should look at in *routes*: valid, and hardly meant so."""
    found = [
        f"routes[{later}] ('{routes[later].path}') never decides: routes[{earlier}] "
        f"('{routes[earlier].path}') takes its requests first; move it up, or remove it"
        for later, earlier in shadowed(routes)
    ]
    for index, route in enumerate(routes):
        if "CONNECT" in route.methods:
            found.append(f"routes[{index}] lists CONNECT, which Envoy refuses before we are asked")
        if "TRACE" in route.methods:
            found.append(
                f"routes[{index}] lists TRACE: an application that answers it shows every caller "
                "the headers it was sent"
            )
    return found


def _covers(first: Rule, later: Rule) -> bool:
    """Whether *first* takes every request that *later* names, or refuses it for its case.

    So the folded spellings are compared: what differs from *first* only in case is a `bad_path`.
    """
    return (
        _methods(first) >= _methods(later)
        and (not first.hosts or (bool(later.hosts) and first.hosts >= later.hosts))
        and _paths_cover(first, later)
    )


def _methods(rule: Rule) -> frozenset[str]:
    return rule.methods or KNOWN_METHODS


def _paths_cover(first: Rule, later: Rule) -> bool:
    ours, theirs = first.folded, later.folded
    if first.open_ended:
        if len(theirs) < len(ours):
            return False
    elif later.open_ended or len(theirs) != len(ours):
        return False
    return all(want is None or want == got for want, got in zip(ours, theirs, strict=False))
