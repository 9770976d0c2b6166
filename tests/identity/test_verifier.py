"""The order of the checks, the cache, and that nothing but a genuine token passes."""

import base64
import hashlib
import json
import threading
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.config.attache import Attache
from agent.errors import Denial, Reason
from agent.identity.principal import Verified
from agent.identity.trust import Trust
from agent.identity.unusable import Unusable
from agent.identity.verifier import Verifier

ISS, OTHER = "https://op.example", "https://other.example"
KEYS = f"{ISS}/keys"
NOW = 1_800_000_000.0
CLAIMS: dict[str, Any] = {
    "iss": ISS,
    "aud": "orders",
    "sub": "alice",
    "iat": NOW - 10,
    "exp": NOW + 300,
}


def oidc(issuer: str, name: str, **members: Any) -> dict[str, Any]:
    return {"name": name, "oidc": {"issuer": issuer, "audiences": ["orders"]} | members}


@pytest.fixture
def world(build: Any, web: Any, ring: Any) -> Any:
    web.publish(ISS, ISS, ring.jwks(ring.jwk("rsa", alg="RS256"), "ec256"))
    web.publish(OTHER, OTHER, ring.jwks("rsa-b", ring.jwk("ec256-b", kid="ec256")))
    return build(web, oidc(ISS, "op"), oidc(OTHER, "other"), maxTokens=100)


def reason(found: Any) -> Reason | None:
    return found.reason if isinstance(found, Denial) else None


def resigned(ring: Any, token: str, **header: Any) -> str:
    """The token with another header, and the signature that it had."""
    _, payload, signature = token.split(".")
    raw = json.dumps(header).encode()
    return f"{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}.{payload}.{signature}"


def test_a_genuine_token_is_verified(world: Any, ring: Any) -> None:
    token = ring.mint("rsa", CLAIMS)
    found = world.verify(token)
    assert isinstance(found, Verified)
    assert found.token == token
    assert found.token_hash == hashlib.sha256(token.encode()).digest()
    assert found.key_id == "rsa"


@pytest.mark.parametrize(
    ("said", "key", "header", "expected"),
    [
        ({"iss": None}, "rsa", {}, Reason.MALFORMED_TOKEN),
        ({"iss": 1}, "rsa", {}, Reason.MALFORMED_TOKEN),
        ({"iss": [ISS]}, "rsa", {}, Reason.MALFORMED_TOKEN),
        ({"iss": "https://evil.example"}, "rsa", {}, Reason.UNTRUSTED_ISSUER),
        ({}, "rsa", {"kid": "unknown"}, Reason.UNKNOWN_KEY),
        ({}, "rsa", {"kid": None}, Reason.UNKNOWN_KEY),
        ({}, "rsa", {"kid": ""}, Reason.UNKNOWN_KEY),
        ({}, "rsa", {"kid": "RSA"}, Reason.UNKNOWN_KEY),
        ({}, "rsa-b", {"kid": "rsa"}, Reason.INVALID_TOKEN),
        ({}, "rsa-b", {}, Reason.UNKNOWN_KEY),
        ({"iss": OTHER}, "rsa", {}, Reason.UNKNOWN_KEY),
        ({"iss": OTHER}, "ec256", {}, Reason.INVALID_TOKEN),
        ({"exp": NOW - 60}, "rsa", {}, Reason.EXPIRED_TOKEN),
        ({"exp": NOW - 60, "aud": "x"}, "rsa", {}, Reason.EXPIRED_TOKEN),
        ({"exp": NOW - 60}, "rsa-b", {"kid": "rsa"}, Reason.INVALID_TOKEN),
        ({"exp": None}, "rsa", {}, Reason.INVALID_TOKEN),
        ({"aud": "x"}, "rsa", {}, Reason.WRONG_AUDIENCE),
        ({"aud": "x", "nbf": NOW + 61}, "rsa", {}, Reason.WRONG_AUDIENCE),
        ({"nbf": NOW + 61}, "rsa", {}, Reason.INVALID_TOKEN),
        ({"iat": NOW + 61}, "rsa", {}, Reason.INVALID_TOKEN),
        ({"nbf": NOW + 60, "exp": NOW - 59}, "rsa", {}, None),
    ],
    ids=str,
)
def test_the_first_reason_that_holds_is_given(
    world: Any, ring: Any, said: Any, key: str, header: Any, expected: Reason | None
) -> None:
    found = world.verify(ring.mint(key, CLAIMS | said, **header))
    assert reason(found) is expected


@pytest.mark.must(2)
@pytest.mark.parametrize(
    "alg", ["none", "None", "nOnE", "NONE", "HS256", "HS512", "rs256", "PS256", "RS512", "ES256"]
)
def test_the_algorithm_comes_from_the_key(world: Any, ring: Any, alg: str) -> None:
    token = ring.mint("rsa", CLAIMS)
    assert reason(world.verify(resigned(ring, token, alg=alg, kid="rsa"))) is Reason.INVALID_TOKEN


@pytest.mark.must(2)
def test_an_rsa_key_that_names_its_algorithm_verifies_no_other(
    build: Any, web: Any, ring: Any
) -> None:
    web.publish(ISS, ISS, ring.jwks(ring.jwk("rsa", alg="RS256"), "rsa-b"))
    world = build(web, oidc(ISS, "op", algorithms=["RS256", "PS256"]))
    assert isinstance(world.verify(ring.mint("rsa", CLAIMS, alg="RS256")), Verified)
    denied = world.verify(ring.mint("rsa", CLAIMS, alg="PS256"))
    assert reason(denied) is Reason.INVALID_TOKEN
    assert "algorithm is not that of its key" in denied.detail
    assert isinstance(world.verify(ring.mint("rsa-b", CLAIMS, alg="PS256")), Verified)
    assert reason(world.verify(ring.mint("rsa-b", CLAIMS, alg="PS384"))) is Reason.INVALID_TOKEN


@pytest.mark.must(3)
@pytest.mark.parametrize("named", ["rsa", "stranger", None])
def test_key_material_in_the_token_selects_nothing_and_fetches_nothing(
    world: Any, ring: Any, named: str | None
) -> None:
    before = list(world.web.fetched)
    planted = {
        "jwk": ring.jwk("rsa-b"),
        "jku": "https://evil.example/keys",
        "x5u": "https://evil.example/cert",
        "x5c": ["AAAA"],
    }
    found = world.verify(ring.mint("rsa-b", CLAIMS, kid=named, **planted))
    assert reason(found) in {Reason.INVALID_TOKEN, Reason.UNKNOWN_KEY}
    assert not any("evil" in url for url in world.web.fetched)
    assert set(world.web.fetched[len(before) :]) <= {
        KEYS,
        f"{ISS}/.well-known/openid-configuration",
    }
    assert isinstance(world.verify(ring.mint("rsa", CLAIMS, **planted)), Verified)


@pytest.mark.must(15)
def test_time_is_asked_again_on_every_hit(world: Any, ring: Any) -> None:
    token = ring.mint("rsa", CLAIMS | {"nbf": NOW - 5})
    first = world.verify(token)
    assert world.verify(token, NOW + 359.9) is first
    assert reason(world.verify(token, NOW + 360)) is Reason.EXPIRED_TOKEN
    assert reason(world.verify(token, NOW - 65.1)) is Reason.INVALID_TOKEN
    assert world.verify(token, NOW) is first


@pytest.mark.must(15)
@pytest.mark.parametrize("hits", [1, 2, 3])
def test_however_often_it_came_its_time_and_its_key_are_asked_again(
    world: Any, ring: Any, hits: int
) -> None:
    token = ring.mint("rsa", CLAIMS | {"nbf": NOW - 5})
    for _ in range(hits):
        assert isinstance(world.verify(token), Verified)
    assert reason(world.verify(token, NOW + 360)) is Reason.EXPIRED_TOKEN
    assert reason(world.verify(token, NOW - 65.1)) is Reason.INVALID_TOKEN
    world.web.documents[KEYS] = ring.jwks("ec256")
    assert reason(world.verify(ring.mint("rsa", CLAIMS, kid="new"))) is Reason.UNKNOWN_KEY
    assert reason(world.verify(token)) is Reason.UNKNOWN_KEY


@pytest.mark.must(42)
def test_the_tokens_that_are_at_hand_are_bounded_in_number_and_length(
    world: Any, ring: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.identity.verifier._LATEST", 5)
    verifier = world.trust._verifier
    for number in range(30):
        token = ring.mint("ec256", CLAIMS | {"jti": str(number)})
        assert world.verify(token) is world.verify(token)
        assert len(verifier._latest) <= 5
        assert token in verifier._latest
    long = ring.mint("ec256", CLAIMS | {"jti": "x" * 5000})
    assert world.verify(long) is world.verify(long)
    assert long not in verifier._latest


@pytest.mark.must(15)
def test_a_hit_verifies_no_signature_again(
    world: Any, ring: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = ring.mint("rsa", CLAIMS)
    first = world.verify(token)
    monkeypatch.setattr("agent.identity.verifier.parse", None)
    assert world.verify(token) is first


def test_nothing_that_was_denied_is_remembered(world: Any, ring: Any) -> None:
    token = ring.mint("rsa", CLAIMS | {"nbf": NOW + 100})
    assert reason(world.verify(token)) is Reason.INVALID_TOKEN
    assert isinstance(world.verify(token, NOW + 50), Verified)


@pytest.mark.must(15, 35)
def test_a_key_that_vanished_takes_its_verified_tokens_with_it(world: Any, ring: Any) -> None:
    kept, gone = ring.mint("ec256", CLAIMS), ring.mint("rsa", CLAIMS)
    first = world.verify(kept)
    assert isinstance(first, Verified)
    assert isinstance(world.verify(gone), Verified)
    world.web.documents[KEYS] = ring.jwks("ec256")
    # an unknown key id has the document fetched
    assert reason(world.verify(ring.mint("rsa", CLAIMS, kid="new"))) is Reason.UNKNOWN_KEY
    assert world.verify(kept) is first
    assert reason(world.verify(gone)) is Reason.UNKNOWN_KEY


@pytest.mark.must(15)
def test_a_key_id_that_now_means_another_key_ends_its_old_tokens(world: Any, ring: Any) -> None:
    token = ring.mint("rsa", CLAIMS)
    assert isinstance(world.verify(token), Verified)
    world.web.documents[KEYS] = ring.jwks(ring.jwk("rsa-b", kid="rsa"))
    assert reason(world.verify(ring.mint("rsa", CLAIMS, kid="new"))) is Reason.UNKNOWN_KEY
    assert reason(world.verify(token)) is Reason.INVALID_TOKEN


@pytest.mark.must(34)
def test_a_new_key_is_found_by_the_token_that_names_it(world: Any, ring: Any) -> None:
    token = ring.mint("ed", CLAIMS | {"iss": ISS}, alg="EdDSA")
    fetches = world.web.fetched.count(KEYS)
    assert reason(world.verify(token)) is Reason.INVALID_TOKEN  # not on the list: no fetch
    assert world.web.fetched.count(KEYS) == fetches
    world.web.documents[KEYS] = ring.jwks("rsa", "rsa-b")
    assert isinstance(world.verify(ring.mint("rsa-b", CLAIMS)), Verified)
    assert world.web.fetched.count(KEYS) == fetches + 1
    for number in range(20):
        found = world.verify(ring.mint("rsa-b", CLAIMS, kid=f"random-{number}"))
        assert reason(found) is Reason.UNKNOWN_KEY
    assert world.web.fetched.count(KEYS) == fetches + 1


@pytest.mark.must(39)
def test_an_issuer_that_stalls_gives_503_at_the_deadline_and_harms_no_other(
    world: Any, ring: Any
) -> None:
    discovery = f"{ISS}/.well-known/openid-configuration"
    world.web.held[discovery] = threading.Event()
    found = world.verify(ring.mint("rsa", CLAIMS, kid="new"), deadline=0.1)
    assert reason(found) is Reason.ISSUER_UNAVAILABLE
    assert isinstance(world.verify(ring.mint("rsa", CLAIMS)), Verified)
    assert isinstance(world.verify(ring.mint("rsa-b", CLAIMS | {"iss": OTHER})), Verified)


@pytest.mark.must(38, 40)
def test_an_issuer_without_keys_is_unavailable_and_not_untrusted(
    build: Any, web: Any, ring: Any
) -> None:
    web.publish(OTHER, OTHER, ring.jwks("rsa"))
    world = build(web, oidc(ISS, "op"), oidc(OTHER, "other"), ready=False)
    assert world.trust.wait_ready(0) is False
    found = world.verify(ring.mint("rsa", CLAIMS))
    assert reason(found) is Reason.ISSUER_UNAVAILABLE
    assert (found.status, found.retry_after) == (503, 5)


@pytest.mark.must(35, 38)
def test_keys_serve_a_day_without_their_issuer_and_no_longer(world: Any, ring: Any) -> None:
    world.web.documents.clear()
    late = {"exp": NOW + 2 * 86_400}
    for kid, now in (("a", NOW + 3600), ("b", NOW + 86_399)):
        found = world.verify(ring.mint("rsa", CLAIMS | late | {"jti": kid}), now)
        assert isinstance(found, Verified)
    found = world.verify(ring.mint("rsa", CLAIMS | late), NOW + 86_400)
    assert reason(found) is Reason.ISSUER_UNAVAILABLE


@pytest.mark.must(42)
def test_the_cache_of_verified_tokens_is_bounded(world: Any, ring: Any) -> None:
    first = ring.mint("ec256", CLAIMS)
    found = world.verify(first)
    for number in range(100):
        world.verify(ring.mint("ec256", CLAIMS | {"jti": str(number)}))
    again = world.verify(first)
    assert again is not found
    assert again == found


def test_threads_agree(world: Any, ring: Any) -> None:
    tokens = [ring.mint("ec256", CLAIMS | {"sub": f"user-{n}"}) for n in range(20)]
    wrong: list[object] = []

    def work(seed: int) -> None:
        for turn in range(100):
            number = (turn * 3 + seed) % 20
            found = world.verify(tokens[number])
            if not isinstance(found, Verified) or found.principal.subject != f"user-{number}":
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_an_entry_that_is_first_in_line_owns_an_issuer_that_metadata_also_claims(
    build: Any, web: Any, ring: Any
) -> None:
    """A B2C tenant's metadata names the partner's issuer: its keys must count for nothing."""
    flow = "https://b2c.example/t/p"
    web.publish(f"{flow}/v2.0", ISS, ring.jwks(ring.jwk("rsa-b", kid="rsa")))
    web.publish(ISS, ISS, ring.jwks("rsa"))
    b2c = {"authority": "https://b2c.example", "tenant": "t", "policies": ["p"]}
    world = build(
        web, {"name": "thief", "b2c": b2c | {"audiences": ["orders"]}}, oidc(ISS, "partner")
    )
    forged = ring.mint("rsa-b", CLAIMS | {"tfp": "p", "scp": "a"}, kid="rsa")
    assert reason(world.verify(forged)) is Reason.INVALID_TOKEN
    found = world.verify(ring.mint("rsa", CLAIMS | {"tfp": "p"}))
    assert isinstance(found, Verified)
    assert found.principal.issuer_name == "partner"


@dataclass(frozen=True)
class Instant:
    now: float = NOW
    deadline: float = 0.0


def test_no_denial_repeats_the_token(world: Any, ring: Any) -> None:
    for said in ({"iss": "s3cret"}, {"aud": "s3cret"}, {"sub": None, "jti": "s3cret"}):
        found = world.verify(ring.mint("rsa", CLAIMS | said, kid="rsa"))
        assert isinstance(found, Denial)
        assert "s3cret" not in repr(found)
    found = world.verify(ring.mint("rsa", CLAIMS, kid="s3cret"))
    assert "s3cret" not in repr(found)


@pytest.mark.must(45)
def test_what_was_verified_shows_neither_token_nor_claims(world: Any, ring: Any) -> None:
    token = ring.mint("rsa", CLAIMS | {"name": "s3cret"}, kid="rsa")
    found = world.verify(token)
    assert isinstance(found, Verified)
    for shown in (repr(found), f"{found}", f"{found.principal!s}", str([found])):
        assert "s3cret" not in shown
        assert token.rpartition(".")[2] not in shown


# One verifier for all examples: what one example leaves in the cache must not help another.
@pytest.fixture(scope="module")
def genuine(ring: Any) -> tuple[Verifier, str, Instant]:
    documents = {
        f"{ISS}/.well-known/openid-configuration": json.dumps(
            {"issuer": ISS, "jwks_uri": KEYS}
        ).encode(),
        KEYS: ring.jwks("rsa", "ec256"),
    }
    config = Attache.model_validate(
        {
            "workload": {"name": "w"},
            "listeners": {"inbound": {"application": "127.0.0.1:8000"}},
            "issuers": [oidc(ISS, "op")],
        }
    )
    trust = Trust.build(
        config,
        lambda: NOW,
        lambda location, _: documents.get(str(location), Unusable("gone")),
    )
    trust.start()
    assert trust.wait_ready(30)
    trust.stop()
    token = ring.mint("ec256", CLAIMS)
    assert isinstance(trust.verify(token, Instant()), Verified)
    return trust._verifier, token, Instant()


@pytest.mark.must(1, 2)
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_mutation_of_a_genuine_token_is_ever_accepted(
    genuine: tuple[Verifier, str, Instant], data: st.DataObject
) -> None:
    verifier, token, moment = genuine
    place = data.draw(st.integers(0, len(token) - 1))
    piece = data.draw(st.text(alphabet=st.characters(max_codepoint=0x17F), max_size=3))
    width = data.draw(st.integers(0, 3))
    mutated = token[:place] + piece + token[place + width :]
    found = verifier.verify(mutated, moment)  # type: ignore[arg-type]
    assert isinstance(found, Verified) is (mutated == token)


@pytest.mark.must(1, 2)
def test_no_single_character_of_a_genuine_token_can_be_exchanged(
    genuine: tuple[Verifier, str, Instant],
) -> None:
    verifier, token, moment = genuine
    for place, old in enumerate(token):
        for new in {"A", "B", "-", "=", ".", chr(ord(old) ^ 1)} - {old}:
            mutated = token[:place] + new + token[place + 1 :]
            assert isinstance(verifier.verify(mutated, moment), Denial)  # type: ignore[arg-type]


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_no_text_is_a_token(genuine: tuple[Verifier, str, Instant], text: str) -> None:
    assert isinstance(genuine[0].verify(text, genuine[2]), Denial)  # type: ignore[arg-type]
