"""Who is calling with a B2C token (ENTRA.md §1)."""

from typing import Any

import pytest

from agent.errors import Denial, Reason
from agent.identity.principal import IssuerKind, Kind, Verified

HOST = "https://contoso.b2clogin.com"
TENANT = "contoso.onmicrosoft.com"
ISS = f"{HOST}/11111111-0000-4000-8000-aaaaaaaaaaaa/v2.0/"
NOW = 1_800_000_000.0
CLAIMS: dict[str, Any] = {
    "iss": ISS,
    "aud": "api-guid",
    "sub": "user-sub",
    "oid": "user-oid",
    "azp": "spa",
    "scp": "tasks.read",
    "tfp": "B2C_1_signin",
    "iat": NOW - 10,
    "exp": NOW + 300,
}
CONFIG = {
    "name": "customers",
    "b2c": {
        "authority": HOST,
        "tenant": TENANT,
        "policies": ["B2C_1_signin", "B2C_1_edit"],
        "audiences": ["api-guid"],
    },
}


@pytest.fixture
def flows(web: Any, ring: Any) -> Any:
    """Two flows under one issuer, each with a key of its own, of the same id."""
    for policy, key in (("B2C_1_signin", "rsa"), ("B2C_1_edit", "rsa-b")):
        jwks = ring.jwks(ring.jwk(key, kid="k"))
        web.publish(f"{HOST}/{TENANT}/{policy}/v2.0", ISS, jwks)
    return web


@pytest.fixture
def customers(build: Any, flows: Any) -> Any:
    return build(flows, CONFIG)


def reason(found: Any) -> Reason | None:
    return found.reason if isinstance(found, Denial) else None


@pytest.mark.parametrize(
    ("said", "kind", "subject"),
    [
        ({}, Kind.USER, "user-oid"),
        ({"oid": None}, Kind.USER, "user-sub"),
        ({"tfp": None, "acr": "b2c_1_signin"}, Kind.USER, "user-oid"),
        ({"tfp": "b2c_1_SIGNIN"}, Kind.USER, "user-oid"),
        ({"tfp": "B2C_1_signin", "acr": "urn:mfa"}, Kind.USER, "user-oid"),
        ({"scp": None, "sub": "user-oid"}, Kind.APP, "user-oid"),
        ({"scp": None, "sub": "spa", "oid": None}, Kind.APP, "spa"),
        ({"scp": None, "idtyp": "app"}, Kind.APP, "user-oid"),
    ],
    ids=str,
)
def test_a_caller_is_known_by_object_id_or_else_subject(
    customers: Any, ring: Any, said: dict[str, Any], kind: Kind, subject: str
) -> None:
    found = customers.verify(ring.mint("rsa", CLAIMS | said, kid="k"))
    assert isinstance(found, Verified)
    principal = found.principal
    assert (principal.kind, principal.subject, principal.client) == (kind, subject, "spa")
    assert (principal.issuer_kind, principal.realm) == (IssuerKind.B2C, ISS)


@pytest.mark.must(10, 16)
@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("rsa-b", {}),
        ("rsa", {"tfp": "B2C_1_edit"}),
        ("rsa", {"tfp": "B2C_1_other"}),
        ("rsa", {"tfp": None}),
        ("rsa", {"tfp": ""}),
        ("rsa", {"tfp": None, "acr": "1"}),
        ("rsa", {"tfp": "B2C_1_other", "acr": "B2C_1_signin"}),
        ("rsa", {"tfp": ["B2C_1_signin"]}),
        ("rsa", {"tfp": "B2C_1_signin "}),
        ("rsa", {"tfp": "B2C_1_\u017fignin"}),  # long s, which case folding would take for s
        ("rsa", {"scp": None}),
        ("rsa", {"scp": None, "oid": None, "sub": None, "idtyp": "app"}),
        ("rsa", {"at_hash": "x"}),
        ("rsa", {"azp": 1}),
    ],
    ids=str,
)
def test_a_policys_tokens_are_verified_with_that_policys_keys_only(
    customers: Any, ring: Any, key: str, said: dict[str, Any]
) -> None:
    found = customers.verify(ring.mint(key, CLAIMS | said, kid="k"))
    assert reason(found) is Reason.INVALID_TOKEN


def test_each_policy_has_its_own_keys(customers: Any, ring: Any) -> None:
    edited = CLAIMS | {"tfp": "B2C_1_edit"}
    assert isinstance(customers.verify(ring.mint("rsa-b", edited, kid="k")), Verified)


def test_a_policy_without_metadata_is_unavailable_and_the_other_serves(
    build: Any, flows: Any, ring: Any, settled: Any
) -> None:
    gone = f"{HOST}/{TENANT}/B2C_1_edit/v2.0/.well-known/openid-configuration"
    del flows.documents[gone]
    world = build(flows, CONFIG, ready=False)
    settled(lambda: "404" in str(world.trust.missing()) and len(world.trust.missing()) == 1)
    assert "policy B2C_1_edit" in world.trust.missing()[0]
    assert isinstance(world.verify(ring.mint("rsa", CLAIMS, kid="k")), Verified)
    edited = CLAIMS | {"tfp": "B2C_1_edit"}
    assert reason(world.verify(ring.mint("rsa-b", edited, kid="k"))) is Reason.ISSUER_UNAVAILABLE
    elsewhere = edited | {"iss": "https://evil.example/"}
    assert reason(world.verify(ring.mint("rsa-b", elsewhere))) is Reason.UNTRUSTED_ISSUER


def test_a_policy_may_have_an_issuer_of_its_own(build: Any, flows: Any, ring: Any) -> None:
    own = f"{HOST}/tfp/{TENANT}/b2c_1_edit/v2.0/"
    flows.publish(f"{HOST}/{TENANT}/B2C_1_edit/v2.0", own, ring.jwks(ring.jwk("rsa-b", kid="k")))
    world = build(flows, CONFIG)
    edited = CLAIMS | {"tfp": "B2C_1_edit"}
    good = ring.mint("rsa-b", edited | {"iss": own}, kid="k")
    assert isinstance(world.verify(good), Verified)
    # and then the shared one is not its own any more
    assert reason(world.verify(ring.mint("rsa-b", edited, kid="k"))) is Reason.INVALID_TOKEN
    assert reason(world.verify(ring.mint("rsa", CLAIMS | {"iss": own}, kid="k"))) is (
        Reason.INVALID_TOKEN
    )
