"""Every reason has a status that denies, and a denial cannot be built with another (errors.py)."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import STATUS, Denial, Reason

# DESIGN.md §9, the contract: written out again, so that a changed word is seen.
CONTRACT = (
    "missing_token malformed_token invalid_token expired_token untrusted_issuer wrong_audience "
    "unknown_key tenant_not_allowed revoked no_route bad_path user_required app_required "
    "insufficient_scope insufficient_role step_up_required call_loop no_subject "
    "ambiguous_subject consent_required interaction_required access_blocked "
    "destination_not_allowed credential_error issuer_unavailable rate_limited deadline "
    "internal_error login_failed cross_site"
)


def test_the_reasons_are_those_of_the_contract() -> None:
    assert " ".join(reason.value for reason in Reason) == CONTRACT


@pytest.mark.must(18)
@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_status_that_denies(reason: Reason) -> None:
    assert 400 <= STATUS[reason] <= 599
    assert Denial(reason, "no").status == STATUS[reason]


@pytest.mark.parametrize(
    "reason", [r for r in Reason if r.value.endswith("_token") or r.value == "unknown_key"]
)
def test_what_is_wrong_with_a_token_is_a_401(reason: Reason) -> None:
    assert STATUS[reason] == 401


@pytest.mark.parametrize("reason", [Reason.CREDENTIAL_ERROR, Reason.ISSUER_UNAVAILABLE])
def test_what_is_wrong_with_us_is_never_a_401_for_clients_would_loop(reason: Reason) -> None:
    assert STATUS[reason] == 503


@pytest.mark.must(17, 18)
@given(st.integers().filter(lambda status: status != 0 and not 400 <= status <= 599))
def test_a_status_that_would_not_deny_is_refused(status: int) -> None:
    with pytest.raises(ValueError, match="would not deny"):
        Denial(Reason.NO_ROUTE, "no", status=status)


@pytest.mark.parametrize("status", [400, 403, 503, 599])
def test_a_denial_may_override_its_status_with_one_that_denies(status: int) -> None:
    assert Denial(Reason.NO_ROUTE, "no", status=status).status == status


def test_a_denial_does_not_change_afterwards() -> None:
    with pytest.raises(FrozenInstanceError):
        Denial(Reason.NO_ROUTE, "no").status = 200  # type: ignore[misc]
