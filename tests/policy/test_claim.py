"""Exact values of claims: what holds, what does not, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.requirements import Requirement
from agent.errors import Denial, Reason
from agent.identity.principal import Principal
from agent.policy.requirement import Permitted, permit

Anna = Callable[..., Principal]


def ask(anna: Anna, claims: dict[str, Any], wanted: dict[str, Any]) -> Permitted | Denial:
    requirement = Requirement.model_validate({"claims": wanted})
    return permit(anna(claims=claims), requirement, 1000.0)


#        in the token          in the rule           met
VALUES = [
    ("finance", "finance", True),
    ("finance", ["sales", "finance"], True),
    ("finance", ["sales"], False),
    (["a", "b"], "b", True),
    (["a", "b"], ["x", "b"], True),
    (["a", "b"], ["x", "y"], False),
    ([], "a", False),
    (1, 1, True),
    (1, [0, 1], True),
    (1, 1.0, True),
    (True, True, True),
    (False, False, True),
    ([1, True, "x"], True, True),
    # SECURITY.md 16: no prefix, suffix, case folding, pattern
    ("finance", "Finance", False),
    ("finance", "fin", False),
    ("fin", "finance", False),
    ("finance", "fin.*", False),
    ("finance ", "finance", False),
    ("finance sales", "finance", False),
    ("a,b", "a", False),
    # no type becomes another
    ("1", 1, False),
    (1, "1", False),
    (True, 1, False),
    (1, True, False),
    (0, False, False),
    (False, 0, False),
    ("true", True, False),
    (True, "true", False),
    ([1], True, False),
    ([True], 1, False),
    ("", False, False),
    (None, "None", False),
    (None, False, False),
    (None, 0, False),
    # neither objects nor lists in lists
    ({"finance": True}, "finance", False),
    ([["finance"]], "finance", False),
    ([{"v": "finance"}], "finance", False),
    (10**400, 1.5, False),
]


@pytest.mark.must(16)
@pytest.mark.parametrize(("held", "wanted", "met"), VALUES)
@pytest.mark.parametrize("nested", [False, True], ids=["top", "nested"])
def test_a_value_holds_if_it_is_exactly_one_of_those_wanted(
    anna: Anna, held: Any, wanted: Any, met: bool, nested: bool
) -> None:
    claims = {"org": {"department": held}} if nested else {"department": held}
    name = "org.department" if nested else "department"
    assert isinstance(ask(anna, claims, {name: wanted}), Permitted) is met


@pytest.mark.must(17)
@pytest.mark.parametrize("claims", [{}, {"Department": "finance"}, {"department": None}])
def test_a_claim_that_is_not_there_does_not_hold(anna: Anna, claims: dict[str, Any]) -> None:
    assert isinstance(ask(anna, claims, {"department": ["finance", False, 0]}), Denial)


def test_every_claim_must_hold_and_names_are_told_but_no_values(anna: Anna) -> None:
    claims = {"department": "finance", "groups": ["secret-group"], "level": 3}
    wanted = {"department": "finance", "groups": ["g-1", "g-2"], "level": 4}
    denial = ask(anna, claims, wanted)
    assert isinstance(denial, Denial)
    assert (denial.reason, denial.status) == (Reason.INSUFFICIENT_ROLE, 403)
    assert (denial.required, denial.granted) == (("department", "groups", "level"), ("department",))
    told = f"{denial.detail} {denial.required} {denial.granted}"
    assert "'groups'" in denial.detail
    for value in ("secret-group", "g-1", "finance", "3", "4"):
        assert value not in told


OVERAGE = [
    {"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://x"}}},
    {"hasgroups": True},
    {"hasgroups": "true"},
    {"groups": ["a"], "_claim_names": {"groups": "src1"}},
    {"groups": ["a"], "hasgroups": True},
]


@pytest.mark.must(17)
@pytest.mark.parametrize("claims", OVERAGE)
def test_groups_that_do_not_fit_the_token_are_unknown_and_not_absent(
    anna: Anna, claims: dict[str, Any]
) -> None:
    denial = ask(anna, claims, {"groups": ["a"]})
    assert isinstance(denial, Denial)
    assert denial.reason is Reason.INSUFFICIENT_ROLE
    assert "unknown" in denial.detail
    assert "overage" in denial.detail


@pytest.mark.parametrize("claims", [{"hasgroups": False}, {"_claim_names": "groups"}, {}])
def test_where_nothing_overflows_groups_are_what_the_token_says(
    anna: Anna, claims: dict[str, Any]
) -> None:
    assert isinstance(ask(anna, claims | {"groups": ["a"]}, {"groups": "a"}), Permitted)
    assert isinstance(denied := ask(anna, claims, {"groups": "a"}), Denial)
    assert "unknown" not in denied.detail


SCALARS = st.text(max_size=3) | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, 1.0])
JSON = st.recursive(
    st.none() | SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=2), inner)
)


@pytest.mark.must(16, 17)
@given(JSON, st.lists(SCALARS, min_size=1, max_size=3))
def test_whatever_a_token_holds_a_permit_means_an_equal_value_of_an_equal_type(
    anna: Anna, held: Any, wanted: list[Any]
) -> None:
    def kind(value: Any) -> Any:
        return float if type(value) is int else type(value)

    offered = held if isinstance(held, list) else [held]
    equal = any(kind(one) is kind(two) and one == two for one in offered for two in wanted)
    assert isinstance(ask(anna, {"x": held}, {"x": wanted}), Permitted) is equal
