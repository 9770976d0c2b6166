"""Codes and refresh tokens end: by use, by time, by revocation."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests

from demo.idp import Directory, IdentityProvider, Settings, jose
from demo.idp.caller import Caller

TASKS = "api://task-api/access_as_user offline_access"
SIGN_IN = "aaaaaaaa-0000-4000-8000-000000000006"
NOW = 1_800_000_000


@dataclass
class FakeClock:
    now: float

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
def idp(directory: Directory, clock: FakeClock) -> Iterator[IdentityProvider]:
    settings = Settings(refresh_reuse="revokes", refresh_token_lifetime=1000)
    with IdentityProvider(directory, settings=settings, clock=clock) as provider:
        yield provider


def refresh(caller: Caller, handle: str) -> requests.Response:
    form = {"grant_type": "refresh_token", "client_id": SIGN_IN, "refresh_token": handle}
    return caller.token("contoso.example", form)


def test_reuse_revokes_the_whole_family_and_no_other(caller: Caller) -> None:
    first, other = (
        caller.sign_in("alice@contoso.example", TASKS).json()["refresh_token"] for _ in range(2)
    )
    second = refresh(caller, first).json()["refresh_token"]
    assert refresh(caller, first).json()["error_codes"] == [70000]
    assert refresh(caller, second).json()["error_codes"] == [50173]
    assert refresh(caller, other).status_code == 200


def test_a_refresh_token_ends_in_time_but_its_successor_lives_on(
    caller: Caller, clock: FakeClock
) -> None:
    first = caller.sign_in("alice@contoso.example", TASKS).json()["refresh_token"]
    clock.now = NOW + 999
    second = refresh(caller, first).json()["refresh_token"]
    clock.now = NOW + 1998
    third = refresh(caller, second).json()["refresh_token"]
    clock.now = NOW + 2998
    assert refresh(caller, third).json()["error_codes"] == [700082]


def test_a_refresh_token_is_its_clients_own(caller: Caller) -> None:
    handle = caller.sign_in("alice@contoso.example", TASKS).json()["refresh_token"]
    form = {
        "grant_type": "refresh_token",
        "client_id": "aaaaaaaa-0000-4000-8000-000000000004",
        "client_secret": "gateway-secret",
        "refresh_token": handle,
    }
    assert caller.token("contoso.example", form).json()["error_codes"] == [70000]


def test_an_assertion_expires_by_the_providers_clock(caller: Caller, clock: FakeClock) -> None:
    assertion = caller.user_token("alice@contoso.example", TASKS)
    jws = jose.parse(assertion)
    assert jws
    assert jws.claims["iat"] == NOW
    scope = "api://notification/.default"
    clock.now = jws.claims["exp"] - 1
    assert caller.on_behalf_of("task-api", assertion, scope).status_code == 200
    clock.now = jws.claims["exp"]
    answer = caller.on_behalf_of("task-api", assertion, scope)
    assert answer.json()["error_codes"] == [500133]
