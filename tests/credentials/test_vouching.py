"""A managed identity's token as our client assertion: fetched seldom, and never lost too soon."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from agent.config.identities import EntraIdentity
from agent.credentials import vouching
from agent.credentials.answers import VOUCHED, Answer, Asked
from agent.credentials.azure import Platform
from agent.credentials.entra import EntraClient
from agent.credentials.proof import Proof
from agent.credentials.verdict import judge
from agent.credentials.vouching import AUDIENCE, Vouching
from tests.credentials.conftest import CLIENT, NOW, TENANT, FakeClock, FakeSts, granted, refused


class FakePlatform(Platform):
    """Answers with what stands in `answers`, the last one again and again."""

    def __init__(self, *answers: Answer) -> None:
        object.__setattr__(self, "answers", list(answers))
        object.__setattr__(self, "asked", [])
        object.__setattr__(self, "client_id", "")

    __slots__ = ("answers", "asked")
    answers: list[Answer]
    asked: list[str]

    def token(self, resource: str, seconds: float) -> Answer:
        self.asked.append(resource)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def given(value: str, life: float = 86400) -> Answer:
    return Answer(200, {"access_token": value, "expires_in": life})


def assertion(proof: Proof | Answer) -> str:
    assert isinstance(proof, Proof)
    assert isinstance(proof.credential, dict)
    return str(proof.credential["client_assertion"]())


AWAY = Answer(0, failure="cannot be reached")


def test_one_token_for_the_exchange_serves_until_it_should_be_renewed(clock: FakeClock) -> None:
    platform = FakePlatform(given("first"), given("second"))
    ours = Vouching(platform, clock)
    assert [assertion(ours.prove(5.0)) for _ in range(3)] == ["first"] * 3
    assert platform.asked == [AUDIENCE]
    clock.now = NOW + 86400 * 0.9
    assert assertion(ours.prove(5.0)) == "second"


@pytest.mark.must(38)
def test_the_assertion_in_hand_serves_while_the_platform_is_away(clock: FakeClock) -> None:
    platform = FakePlatform(given("first", 1000), AWAY)
    ours = Vouching(platform, clock)
    ours.prove(5.0)
    clock.now = NOW + 900
    assert [assertion(ours.prove(5.0)) for _ in range(5)] == ["first"] * 5
    assert len(platform.asked) == 2  # it is not asked each time
    clock.now = NOW + 1000
    answer = ours.prove(5.0)
    assert isinstance(answer, Answer)
    assert answer.failure.startswith("was not asked: Azure's managed identity endpoint cannot be")


def test_an_assertion_that_entra_calls_expired_is_replaced_once(clock: FakeClock) -> None:
    platform = FakePlatform(given("first"), given("second"))
    ours = Vouching(platform, clock)
    first = ours.prove(5.0)
    assert isinstance(first, Proof)
    assert assertion(ours.prove(5.0, first.id)) == "second"
    assert assertion(ours.prove(5.0, first.id)) == "second"


@pytest.mark.must(41)
def test_many_at_once_ask_the_platform_once(clock: FakeClock) -> None:
    platform = FakePlatform(given("first"))
    ours = Vouching(platform, clock)
    start = threading.Barrier(16)

    def prove(_: int) -> str:
        start.wait(10)
        return assertion(ours.prove(5.0))

    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(prove, range(16))) == {"first"}
    assert len(platform.asked) == 1


def test_what_the_operator_must_mend_is_kept_for_readiness(clock: FakeClock) -> None:
    lacking = Answer(0, failure="this machine or pod has no such identity.", ours=True)
    ours = Vouching(FakePlatform(lacking, given("first")), clock)
    assert ours.prove(5.0) == lacking
    assert ours.problem == lacking.failure
    ours.prove(5.0)
    assert ours.problem == ""


@pytest.mark.parametrize("flow", ["obo", "client"])
def test_the_registration_proves_itself_with_it_in_every_flow(
    sts: FakeSts, monkeypatch: pytest.MonkeyPatch, flow: str
) -> None:
    platforms: list[FakePlatform] = []

    def platform(client_id: str) -> FakePlatform:
        platforms.append(FakePlatform(given(f"of-{client_id}"), given("again")))
        return platforms[-1]

    monkeypatch.setattr("agent.credentials.entra.Platform", platform)
    entra = EntraClient("task-api", identity(sts))
    answers = iter([refused(700024, "invalid_client", 401), granted("token")])
    sts.script = lambda form: next(answers)
    if flow == "obo":
        answer = entra.on_behalf_of(TENANT, "user-token", ("api://n/.default",), "", 10.0)
    else:
        answer = entra.for_client(("api://n/.default",), 10.0)
    assert answer.status == 200
    assert [form["client_assertion"] for form in sts.forms] == ["of-mi", "again"]
    assert sts.forms[0]["client_id"] == CLIENT
    assert entra.unproven() == ""


def identity(sts: FakeSts) -> EntraIdentity:
    document: dict[str, Any] = {
        "tenant": TENANT,
        "clientId": CLIENT,
        "authority": sts.url,
        "caFile": str(sts.ca_file),
        "managedIdentity": {"clientId": "mi"},
    }
    return EntraIdentity.model_validate(document)


def test_its_name_in_repr_shows_no_token() -> None:
    assert "secret" not in repr(vouching._proof(vouching.Token("secret", 1, 1)))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (700211, "of the kind 'managed identity'"),
        (700213, "with its object id as subject"),
        (700212, "api://AzureADTokenExchange"),
    ],
)
def test_a_missing_federated_credential_is_said_in_the_words_of_managed_identities(
    code: int, said: str
) -> None:
    asked = Asked("audit", "us", CLIENT, TENANT, ("s",), for_user=False, proof=VOUCHED)
    verdict = judge(Answer(401, {"error": "invalid_client", "error_codes": [code]}), asked)
    assert said in verdict.sentence
    assert verdict.denial.status == 503
