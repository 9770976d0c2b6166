"""A short run of `make fuzz`: once the same, once by new chance; and that it would notice."""

import json
import logging
import secrets
from collections.abc import Iterator

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.identity.jwk import VerificationKey
from agent.policy.routes import Routes, Rule
from demo.waiting import until
from vectors.court import API, Court, question
from vectors.fuzz import Broken, Fuzz
from vectors.mutation import mutated

ONCE_THE_SAME = 20261121


@pytest.fixture(scope="module")
def court() -> Iterator[Court]:
    """At a level that keeps thousands of refused requests out of the test's report."""
    with Court(maxTokens=200, maxContexts=200) as whole:
        logging.disable(logging.ERROR)
        yield whole
        logging.disable(logging.NOTSET)


@pytest.mark.must(1, 2, 3, 4, 6, 7, 8, 14, 17, 19, 42)
@pytest.mark.parametrize("seed", [ONCE_THE_SAME, secrets.randbits(32)], ids=["fixed", "new"])
def test_no_chance_breaks_the_agent_nor_gets_past_it(court: Court, seed: int) -> None:
    print(f"python -m vectors.fuzz --seed {seed}")
    fuzz = Fuzz(court, seed)
    run(fuzz, 2500)
    # or the requests would be so broken that nothing deep is reached
    assert fuzz.outcomes["allowed"] > 100
    assert len(fuzz.outcomes) >= 12, fuzz.outcomes


def run(fuzz: Fuzz, requests: int) -> None:
    for _ in range(requests):
        fuzz.one()


@pytest.mark.parametrize("change", ["body", "hidden headers"])
def test_what_envoy_must_not_send_is_refused_and_no_alarm(court: Court, change: str) -> None:
    asked = CheckRequest.FromString(question({}))
    if change == "body":
        asked.attributes.request.http.body = "x"
    else:
        asked.attributes.context_extensions.update(direction="outbound", unmatched="passthrough")
        asked.attributes.request.http.headers.pop(":path", None)
    request = asked.SerializeToString()
    verdict = court.decide(request)
    assert verdict.reason == "internal_error"
    assert Fuzz(court, ONCE_THE_SAME)._wrong(request, verdict) == ""


def everything_holds(*_: object) -> bool:
    return True


@pytest.mark.parametrize("broken", ["signature", "route", "exception"])
def test_an_agent_that_is_broken_would_be_noticed(
    monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    with Court() as court:  # its own: what it remembers is wrong
        if broken == "signature":
            monkeypatch.setattr(VerificationKey, "signed", everything_holds)
        elif broken == "route":
            anonymous = next(rule for rule in _rules(court) if rule.anonymous)
            monkeypatch.setattr(Routes, "match", lambda *_: anonymous)
        else:
            monkeypatch.setattr("agent.policy.routes.canonical", None)
        fuzz = Fuzz(court, ONCE_THE_SAME)
        with pytest.raises(Broken, match=f"seed {ONCE_THE_SAME}"):
            run(fuzz, 3000)


def _rules(court: Court) -> tuple[Rule, ...]:
    inbound = court.app._judge.pipelines.inbound
    assert inbound is not None
    return inbound.routes._rules


ANY = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
names = st.sampled_from(["authorization", "baggage", "traceparent", "x-request-id", "origin", "a"])


@ANY
@given(
    headers=st.dictionaries(names, st.text(st.characters(exclude_categories=["Cs"]))),
    path=st.text(st.characters(exclude_categories=["Cs"])),
    method=st.sampled_from(["GET", "OPTIONS", ""]),
)
def test_no_text_in_any_place_breaks_a_decision(
    court: Court, headers: dict[str, str], path: str, method: str
) -> None:
    for target in (path, f"/{path}", f"{API}{path}"):
        verdict = court.decide(question(headers, target, method))
        # A Check without a method is none of an HTTP request, and is Envoy's own mistake.
        assert (verdict.reason == "internal_error") == (not method)
        assert not verdict.allowed or target.partition("?")[0].rstrip("/") == "/healthz"


@ANY
@given(raw=st.binary(max_size=300))
def test_no_bytes_are_an_allow(court: Court, raw: bytes) -> None:
    assert not court.decide(raw).allowed


@ANY
@given(random=st.randoms(use_true_random=False))
def test_no_mutation_of_a_token_is_an_allow_without_the_key(court: Court, random: object) -> None:
    token = court.genuine()[1]
    assert court.ask(token).allowed
    found = mutated(random, token, court.ring, [token])  # type: ignore[arg-type]
    if found != token and found.rpartition(".")[2] == token.rpartition(".")[2]:
        assert not court.ask(found).allowed  # the signature that it had, over something else


@pytest.mark.must(45)
def test_an_audit_record_is_one_line_whatever_was_sent(court: Court) -> None:
    fuzz, before = Fuzz(court, ONCE_THE_SAME), _lines(court)
    run(fuzz, 500)
    until(lambda: len(_lines(court)) >= len(before) + 500, "the audit record of each request")
    assert all(json.loads(line)["decision"] in ("allow", "deny") for line in _lines(court))


def _lines(court: Court) -> list[bytes]:
    """All whole lines; the file is there with the first of them."""
    return court.audit.read_bytes().split(b"\n")[:-1] if court.audit.exists() else []
