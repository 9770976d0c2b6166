"""Which requirement a route puts on a caller: one table for each check, and their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.requirements import Requirement
from agent.errors import Denial
from agent.identity.principal import Kind, Principal
from agent.policy.requirement import CHECKS, Permitted, needed, permit

Anna = Callable[..., Principal]
NOW = 1000.0


def asked(principal: Principal, **requirement: Any) -> str:
    """`ok`, or the reason of the denial."""
    answer = permit(principal, Requirement.model_validate(requirement), NOW)
    if isinstance(answer, Denial):
        return answer.reason.value
    assert answer.principal is principal
    return "ok"


def test_where_nothing_is_asked_a_verified_token_is_enough(anna: Anna) -> None:
    assert asked(anna(scopes=frozenset(), roles=frozenset())) == "ok"


def test_the_checks_that_are_left_out_are_those_that_nobody_could_fail(anna: Anna) -> None:
    people = [
        anna(),
        anna(kind=Kind.APP, scopes=frozenset(), roles=frozenset()),
        anna(tenant="t2", client="cli", claims={"team": "red"}),
    ]
    parts: list[dict[str, Any]] = [
        {},
        {"caller": "user"},
        {"caller": "app"},
        {"scopes": ["read"]},
        {"anyScope": ["write"]},
        {"roles": ["Admin"]},
        {"anyRole": ["Editor"]},
        {"tenants": ["t1"]},
        {"clients": ["web"]},
        {"claims": {"team": "blue"}},
        {"maxAge": "5m"},
    ]
    for one in parts:
        for other in parts:
            requirement = Requirement.model_validate(one | other)
            for who in people:
                whole = permit(who, requirement, NOW)
                assert permit(who, requirement, NOW, needed(requirement)) == whole
    assert needed(Requirement()) == ()
    assert set().union(*(needed(Requirement.model_validate(part)) for part in parts)) == set(CHECKS)


KINDS = [
    ("any", Kind.USER, "ok"),
    ("any", Kind.APP, "ok"),
    ("user", Kind.USER, "ok"),
    ("user", Kind.APP, "user_required"),
    ("app", Kind.APP, "ok"),
    ("app", Kind.USER, "app_required"),
]


@pytest.mark.parametrize(("caller", "kind", "answer"), KINDS)
def test_a_route_for_one_kind_of_caller_refuses_the_other(
    anna: Anna, caller: str, kind: Kind, answer: str
) -> None:
    assert asked(anna(kind=kind), caller=caller) == answer


TENANTS = [
    (["t1"], "t1", "ok"),
    (["t0", "t1"], "t1", "ok"),
    (["t1"], "t2", "tenant_not_allowed"),
    (["t1"], "T1", "tenant_not_allowed"),
    (["t1"], "t11", "tenant_not_allowed"),
    (["t1"], "t", "tenant_not_allowed"),
    (["t1"], "", "tenant_not_allowed"),
    (["t."], "t1", "tenant_not_allowed"),
]


@pytest.mark.must(16)
@pytest.mark.parametrize(("listed", "tenant", "answer"), TENANTS)
def test_a_tenant_must_be_listed_by_the_letter(
    anna: Anna, listed: list[str], tenant: str, answer: str
) -> None:
    assert asked(anna(tenant=tenant), tenants=listed) == answer


CLIENTS = [
    (["web"], "web", "ok"),
    (["web"], "", "insufficient_role"),
    (["web"], "WEB", "insufficient_role"),
    (["web"], "web2", "insufficient_role"),
    ([".*"], "web", "insufficient_role"),
]


@pytest.mark.must(16)
@pytest.mark.parametrize(("listed", "client", "answer"), CLIENTS)
def test_a_client_must_be_listed_by_the_letter(
    anna: Anna, listed: list[str], client: str, answer: str
) -> None:
    assert asked(anna(client=client), clients=listed) == answer


#       all of         one of         granted      met
LISTS = [
    ([], [], [], True),
    (["a"], [], ["a"], True),
    (["a"], [], ["a", "b"], True),
    (["a", "b"], [], ["a", "b"], True),
    (["a", "b"], [], ["a"], False),
    (["a"], [], [], False),
    (["a"], [], ["A"], False),
    (["a"], [], ["aa"], False),
    (["a"], [], ["a b"], False),
    ([".*"], [], ["a"], False),
    (["api://x/a"], [], ["a"], False),
    ([], ["a", "b"], ["b"], True),
    ([], ["a", "b"], ["a", "b"], True),
    ([], ["a", "b"], ["c"], False),
    ([], ["a", "b"], [], False),
    (["a"], ["b", "c"], ["a", "c"], True),
    (["a"], ["b", "c"], ["a"], False),
    (["a"], ["b", "c"], ["b"], False),
]


@pytest.mark.must(16)
@pytest.mark.parametrize(("every", "some", "granted", "met"), LISTS)
def test_scopes_need_all_of_one_list_and_one_of_the_other(
    anna: Anna, every: list[str], some: list[str], granted: list[str], met: bool
) -> None:
    answer = asked(anna(scopes=frozenset(granted)), scopes=every, anyScope=some)
    assert answer == ("ok" if met else "insufficient_scope")


@pytest.mark.must(16)
@pytest.mark.parametrize(("every", "some", "granted", "met"), LISTS)
def test_roles_need_all_of_one_list_and_one_of_the_other(
    anna: Anna, every: list[str], some: list[str], granted: list[str], met: bool
) -> None:
    answer = asked(anna(roles=frozenset(granted)), roles=every, anyRole=some)
    assert answer == ("ok" if met else "insufficient_role")


def test_a_scope_is_no_role_and_a_role_no_scope(anna: Anna) -> None:
    assert asked(anna(roles=frozenset({"x"})), scopes=["x"]) == "insufficient_scope"
    assert asked(anna(scopes=frozenset({"x"})), roles=["x"]) == "insufficient_role"


def test_an_app_without_scopes_does_not_meet_a_scope(anna: Anna) -> None:
    assert asked(anna(kind=Kind.APP, scopes=frozenset()), scopes=["read"]) == "insufficient_scope"


def denied(principal: Principal, **requirement: Any) -> Denial:
    answer = permit(principal, Requirement.model_validate(requirement), NOW)
    assert isinstance(answer, Denial)
    return answer


def test_a_missing_scope_is_named_with_what_was_granted(anna: Anna) -> None:
    denial = denied(anna(), scopes=["write"], anyScope=["x", "y"])
    assert (denial.status, denial.required, denial.granted) == (403, ("write", "x", "y"), ("read",))
    assert denial.challenge == (("scope", "write x y"),)
    assert denial.detail == "this route needs scope 'write', and one of the scopes 'x', 'y'"


def test_a_missing_role_is_named_with_what_was_granted(anna: Anna) -> None:
    denial = denied(anna(), roles=["Admin", "Root"])
    assert (denial.status, denial.required, denial.granted) == (403, ("Admin", "Root"), ("Editor",))
    assert denial.detail == "this route needs role 'Admin' and 'Root'"


EVERYTHING = {
    "caller": "app",
    "tenants": ["t2"],
    "clients": ["other"],
    "scopes": ["write"],
    "roles": ["Admin"],
    "claims": {"department": "finance"},
    "authContext": "c1",
}
ORDER = [
    ("caller", "app_required"),
    ("tenants", "tenant_not_allowed"),
    ("clients", "insufficient_role"),
    ("scopes", "insufficient_scope"),
    ("roles", "insufficient_role"),
    ("claims", "insufficient_role"),
    ("authContext", "step_up_required"),
]


def test_the_first_finding_wins_in_the_order_of_the_checks(anna: Anna) -> None:
    assert len(ORDER) == len(CHECKS) + 1  # the sign-in comes last
    for position, (_, reason) in enumerate(ORDER):
        left = {key: EVERYTHING[key] for key, _ in ORDER[position:]}
        assert asked(anna(), **left) == reason


TEXTS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=2, unique=True)


@pytest.mark.must(17)
@given(
    every=TEXTS,
    some=TEXTS,
    roles=TEXTS,
    some_role=TEXTS,
    granted=st.frozensets(st.sampled_from("abc")),
    held=st.frozensets(st.sampled_from("abc")),
    caller=st.sampled_from(["user", "app", "any"]),
    kind=st.sampled_from(Kind),
    tenants=TEXTS,
)
def test_a_permit_means_that_every_written_part_holds(
    anna: Anna,
    every: list[str],
    some: list[str],
    roles: list[str],
    some_role: list[str],
    granted: frozenset[str],
    held: frozenset[str],
    caller: str,
    kind: Kind,
    tenants: list[str],
) -> None:
    principal = anna(scopes=granted, roles=held, kind=kind, tenant="a")
    requirement = Requirement.model_validate(
        {
            "caller": caller,
            "scopes": every,
            "anyScope": some,
            "roles": roles,
            "anyRole": some_role,
            "tenants": tenants,
        }
    )
    holds = (
        set(every) <= granted
        and (not some or bool(set(some) & granted))
        and set(roles) <= held
        and (not some_role or bool(set(some_role) & held))
        and caller in ("any", kind.value)
        and (not tenants or "a" in tenants)
    )
    assert isinstance(permit(principal, requirement, NOW), Permitted) is holds
