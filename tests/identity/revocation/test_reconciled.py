"""What is gone from Redis was removed, or was lost: which is believed?"""

from __future__ import annotations

import pytest

from agent.identity.revocation.entry import Entry
from agent.identity.revocation.reconciled import Held, reconciled

A, B, C = Entry(subject="a"), Entry(subject="b"), Entry(subject="c", until=50.0)
BOTH = Held({"a": A, "b": B}, version=7)

# held, found, version, watched → all that applies
RULE: dict[str, tuple[Held, dict[str, Entry], int, bool, set[str]]] = {
    "a removal that was watched is believed": (BOTH, {"a": A}, 7, True, {"a"}),
    "the last removal too": (BOTH, {}, 7, True, set()),
    "a Redis that came back empty has lost its list": (BOTH, {}, 0, False, {"a", "b"}),
    "one that came back with a part of it as well": (BOTH, {"b": B}, 3, False, {"a", "b"}),
    "the same version says that nothing was removed": (BOTH, {"a": A}, 7, False, {"a", "b"}),
    "a later version says that it was meant": (BOTH, {"a": A}, 8, False, {"a"}),
    "what is new applies in any case": (BOTH, {"c": C}, 0, False, {"a", "b", "c"}),
    "what is kept stays while others change": (
        Held({}, 0, {"a": A}), {"b": B}, 1, True, {"a", "b"},
    ),
    "what comes back is no longer kept": (Held({}, 0, {"a": A}), {"a": A}, 1, True, {"a"}),
    "what has ended is not kept": (Held({"c": C}, 0), {}, 0, False, set()),
}  # fmt: skip


@pytest.mark.parametrize("case", RULE.values(), ids=RULE)
def test_what_applies_after_a_look(
    case: tuple[Held, dict[str, Entry], int, bool, set[str]],
) -> None:
    held, found, version, watched, applies = case
    after = reconciled(held, found, version, watched=watched, now=60.0)
    assert set(after.all) == applies
    assert after.found == found


def test_the_removal_of_what_came_back_is_watched() -> None:
    held = reconciled(BOTH, {}, 0, watched=False, now=0.0)
    held = reconciled(held, {"a": A}, 1, watched=True, now=0.0)
    held = reconciled(held, {}, 2, watched=True, now=0.0)
    assert set(held.all) == {"b"}
