"""Opaque tokens through the whole trust: where a token goes, and what its answer must say."""

from __future__ import annotations

from typing import Any

import pytest

from agent.errors import Denial, Reason
from agent.identity.introspection.answer import Active, Inactive, Outcome
from agent.identity.principal import IssuerKind, Kind, RawToken, Verified
from agent.identity.trust import Trust
from agent.moment import Moment

NOW = 1_800_000_000.0
AS, ISS = "https://as.example", "https://login.partner.example"
ANSWER: dict[str, Any] = {
    "sub": "alice",
    "aud": "orders",
    "client_id": "spa",
    "scope": "read write",
    "iat": NOW - 10,
    "exp": NOW + 300,
}
OPAQUE = {
    "url": f"{AS}/introspect",
    "clientId": "task-api",
    "secretFile": "/secret",
    "audiences": ["orders"],
}
JWTS = {"name": "partner", "oidc": {"issuer": ISS, "audiences": ["orders"]}}


class FakeEndpoint:
    """Says the same of every token, and remembers which it was asked about."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.outcome: Outcome = Active(ANSWER, 200)

    def __call__(self, token: str) -> Outcome:
        self.asked.append(token)
        return self.outcome

    def missing(self) -> str:
        return ""

    def close(self) -> None:
        """Nothing is open."""


class Court:
    """A trust with an endpoint in the test's hands."""

    def __init__(self, trust: Trust, endpoint: FakeEndpoint) -> None:
        self.trust, self.endpoint = trust, endpoint

    def verify(self, token: str) -> Verified | Denial:
        return self.trust.verify(RawToken(token), Moment(NOW, 30.0))

    def answers(self, **claims: Any) -> Verified | Denial:
        said = {name: value for name, value in (ANSWER | claims).items() if value is not None}
        self.endpoint.outcome = Active(said, 200)
        return self.verify(f"opaque-{len(self.endpoint.asked)}")


@pytest.fixture
def court(configure: Any, web: Any, ring: Any, request: pytest.FixtureRequest) -> Any:
    made: list[Trust] = []
    web.publish(ISS, ISS, ring.jwks("rsa"))

    def build(*others: Any, **members: Any) -> Court:
        endpoint = FakeEndpoint()
        entry = {"name": "as", "introspection": OPAQUE | members}
        trust = Trust.build(
            configure(*others, entry), lambda: NOW, web, endpoint=lambda _: endpoint
        )
        made.append(trust)
        trust.start()
        assert trust.wait_ready(30), trust.missing()
        return Court(trust, endpoint)

    yield build
    for trust in made:
        trust.stop()


def test_an_opaque_token_makes_a_caller(court: Any) -> None:
    found = court(issuer=AS).verify("2YotnFZFEjr1zCsicMWpAA==")
    assert isinstance(found, Verified)
    principal = found.principal
    assert (principal.kind, principal.subject, principal.client) == (Kind.USER, "alice", "spa")
    assert (principal.issuer, principal.issuer_name) == (AS, "as")
    assert principal.issuer_kind is IssuerKind.INTROSPECTION
    assert (principal.scopes, principal.expires_at) == ({"read", "write"}, NOW + 300)
    assert (found.key_id, found.not_before) == ("", NOW - 10)


@pytest.mark.must(10)
def test_a_name_that_nobody_configured_is_not_believed(court: Any) -> None:
    """An endpoint speaks for its own tokens: it cannot name another issuer's people."""
    found = court().answers(iss=ISS)
    assert isinstance(found, Verified)
    assert found.principal.issuer == f"{AS}/introspect"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"exp": None}, Reason.INVALID_TOKEN),
        ({"exp": NOW - 60}, Reason.EXPIRED_TOKEN),
        ({"exp": "1"}, Reason.INVALID_TOKEN),
        ({"exp": True}, Reason.INVALID_TOKEN),
        ({"nbf": NOW + 61}, Reason.INVALID_TOKEN),
        ({"iat": NOW + 61}, Reason.INVALID_TOKEN),
        ({"aud": None}, Reason.WRONG_AUDIENCE),
        ({"aud": "billing"}, Reason.WRONG_AUDIENCE),
        ({"aud": ["billing", "Orders"]}, Reason.WRONG_AUDIENCE),
        ({"aud": []}, Reason.INVALID_TOKEN),
        ({"iss": ISS}, Reason.INVALID_TOKEN),
        ({"iss": AS + "/"}, Reason.INVALID_TOKEN),
        ({"iss": [AS]}, Reason.INVALID_TOKEN),
        ({"token_type": "DPoP"}, Reason.INVALID_TOKEN),
        ({"token_type": "N_A"}, Reason.INVALID_TOKEN),
        ({"token_type": 1}, Reason.INVALID_TOKEN),
        ({"token_use": "refresh_token"}, Reason.INVALID_TOKEN),
        ({"typ": "Refresh"}, Reason.INVALID_TOKEN),
        ({"cnf": {"jkt": "x"}}, Reason.INVALID_TOKEN),
        ({"cnf": {"x5t#S256": "x"}}, Reason.INVALID_TOKEN),
        ({"sub": None, "client_id": None}, Reason.INVALID_TOKEN),
        ({"sub": 7}, Reason.INVALID_TOKEN),
        ({"scope": 7}, Reason.INVALID_TOKEN),
    ],
    ids=str,
)
def test_an_active_token_can_still_be_none_for_us(court: Any, said: Any, reason: Reason) -> None:
    found = court(issuer=AS).answers(**said)
    assert isinstance(found, Denial)
    assert found.reason is reason


@pytest.mark.parametrize(
    ("said", "kind", "subject"),
    [
        ({"aud": ["x", "orders"], "iss": AS, "token_type": "bearer"}, Kind.USER, "alice"),
        ({"sub": None}, Kind.APP, "spa"),
        ({"sub": "spa"}, Kind.APP, "spa"),
        ({"username": "alice@x", "token_use": "access_token"}, Kind.USER, "alice"),
    ],
    ids=str,
)
def test_who_is_calling_is_read_as_in_a_jwt(
    court: Any, said: Any, kind: Kind, subject: str
) -> None:
    found = court(issuer=AS).answers(**said)
    assert isinstance(found, Verified)
    assert (found.principal.kind, found.principal.subject) == (kind, subject)


def test_a_missing_expiry_is_the_operators_choice_and_ends_with_the_cache(court: Any) -> None:
    found = court(requireExpiry=False, cache="30s").answers(exp=None)
    assert isinstance(found, Verified)
    assert found.principal.expires_at == NOW + 30


def test_inactive_is_401(court: Any) -> None:
    it = court()
    it.endpoint.outcome = Inactive()
    found = it.verify("opaque")
    assert isinstance(found, Denial)
    assert (found.reason, found.status) == (Reason.INVALID_TOKEN, 401)


# Where a token goes


@pytest.mark.must(1)
@pytest.mark.parametrize(
    "token",
    ["a.b.c", "a.b.c.d.e", "..", "....", "eyJhbGciOiJub25lIn0", "eyJhbGciOiJub25lIn0.e30.", "x"],
)
def test_what_looks_like_jose_is_read_here_and_asked_about_nowhere(court: Any, token: str) -> None:
    it = court(JWTS)
    it.verify(token)
    assert it.endpoint.asked == ([token] if "." not in token else [])


@pytest.mark.must(1)
@pytest.mark.parametrize("cut", [".x", ".x.y.z", "."])
def test_a_jwt_that_was_tampered_with_is_malformed_not_opaque(
    court: Any, ring: Any, cut: str
) -> None:
    it = court(JWTS)
    token = ring.mint("rsa", ANSWER | {"iss": ISS})
    for mangled in (token + cut, token.rpartition(".")[0]):
        found = it.verify(mangled)
        assert isinstance(found, Denial)
        assert found.reason is Reason.MALFORMED_TOKEN
    assert it.endpoint.asked == []


def test_a_jwt_of_another_configured_issuer_is_verified_by_its_keys(court: Any, ring: Any) -> None:
    it = court(JWTS)
    found = it.verify(ring.mint("rsa", ANSWER | {"iss": ISS}))
    assert isinstance(found, Verified)
    assert found.principal.issuer_kind is IssuerKind.OIDC
    assert isinstance(it.verify(ring.mint("rsa-b", ANSWER | {"iss": ISS}, kid="rsa")), Denial)
    assert it.endpoint.asked == []


def test_also_where_both_share_the_issuer(court: Any, ring: Any) -> None:
    """One server that issues JWTs for some APIs and opaque tokens for others."""
    it = court(JWTS, issuer=ISS)
    assert isinstance(it.verify(ring.mint("rsa", ANSWER | {"iss": ISS})), Verified)
    assert isinstance(it.verify(ring.mint("rsa-b", ANSWER | {"iss": ISS}, kid="rsa")), Denial)
    assert it.endpoint.asked == []
    assert isinstance(it.answers(iss=ISS), Verified)


@pytest.mark.must(10)
def test_a_jwt_of_nobody_is_sent_nowhere(court: Any, ring: Any) -> None:
    it = court(JWTS, issuer=AS)
    for iss in ("https://evil.example", AS + "/", None):
        found = it.verify(ring.mint("rsa", ANSWER | {"iss": iss}))
        assert isinstance(found, Denial)
    assert it.endpoint.asked == []


def test_a_jwt_of_its_own_issuer_is_asked_about(court: Any, ring: Any) -> None:
    it = court(JWTS, issuer=AS)
    token = ring.mint("rsa-b", ANSWER | {"iss": AS})
    assert isinstance(it.verify(token), Verified)
    assert isinstance(it.verify(token), Verified)
    assert it.endpoint.asked == [token]


def test_ours_are_recognised_and_a_strangers_opaque_token_is_not(court: Any, ring: Any) -> None:
    it = court(issuer=AS)
    it.verify("ours")
    assert it.trust.recognise("ours")
    assert not it.trust.recognise("ghp_somebody-elses")
    assert it.trust.recognise(ring.mint("rsa-b", ANSWER | {"iss": AS}))
    it.endpoint.outcome = Inactive()
    it.verify("never-good")
    assert not it.trust.recognise("never-good")
    assert it.endpoint.asked == ["ours", "never-good"]


@pytest.mark.must(44)
def test_the_endpoint_is_in_the_status(court: Any) -> None:
    it = court()
    it.verify("ours")
    (row,) = it.trust.status()
    assert (row["name"], row["kind"], row["source"]) == ("as", "introspection", f"{AS}/introspect")
    assert (row["usable"], row["ageSeconds"], row["error"], row["tokens"]) == (True, 0, None, 1)
