"""Which keys of a JWKS document may verify tokens (SECURITY.md 2, 12, 35)."""

import json
from typing import Any

import pytest

from agent.identity.jwk import VerificationKey, read_key
from agent.identity.keys import MAX_KEYS, KeySet, read_keys
from agent.identity.unusable import Unusable

ALL = ("RS256", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA")


@pytest.mark.must(2)
@pytest.mark.parametrize(
    ("name", "alg", "allowed", "bound"),
    [
        ("rsa", "RS256", ALL, {"RS256"}),
        ("rsa", "PS256", ALL, {"PS256"}),
        ("rsa", None, ("RS256",), {"RS256"}),
        ("rsa", None, ("RS256", "ES256"), {"RS256"}),
        ("rsa", None, ("RS256", "PS256", "ES256"), {"RS256", "PS256"}),
        ("ec256", None, ALL, {"ES256"}),
        ("ec384", "ES384", ALL, {"ES384"}),
        ("ec521", None, ALL, {"ES512"}),
        ("ed", "EdDSA", ALL, {"EdDSA"}),
        ("ed", None, ALL, {"EdDSA"}),
        ("rsa", "RS384", ("RS256",), None),
        ("rsa", None, ("ES256",), None),
        ("rsa", "ES256", ALL, None),
        ("rsa", "HS256", ALL, None),
        ("rsa", "none", ALL, None),
        ("rsa", "RSA-OAEP", ALL, None),
        ("rsa", "rs256", ALL, None),
        ("ec256", "ES384", ALL, None),
        ("ec256", "RS256", ALL, None),
        ("ec521", "ES521", ALL, None),
        ("ed", "ES256", ALL, None),
    ],
)
def test_a_key_is_bound_to_what_its_type_itself_and_its_issuer_permit(
    ring: Any, name: str, alg: str | None, allowed: tuple[str, ...], bound: set[str] | None
) -> None:
    key = read_key(ring.jwk(name, alg=alg), allowed)
    assert (set(key.algorithms) if isinstance(key, VerificationKey) else None) == bound


@pytest.mark.must(12)
@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("rsa", {"use": "enc"}),
        ("rsa", {"use": None, "key_ops": ["sign"]}),
        ("rsa", {"use": None, "key_ops": []}),
        ("rsa", {"key_ops": "verify"}),
        ("rsa", {"key_ops": ["encrypt", "wrapKey"]}),
        ("rsa", {"use": 1}),
        ("rsa", {"kid": None}),
        ("rsa", {"kid": 1}),
        ("rsa", {"kty": None}),
        ("rsa", {"kty": "rsa"}),
        ("rsa", {"kty": ["RSA"]}),
        ("rsa", {"alg": 1}),
        ("rsa", {"workload": 1}),
        ("rsa", {"issuer": ["i"]}),
        ("rsa", {"cloud_instance_name": 1}),
        ("rsa", {"n": None}),
        ("rsa", {"e": None}),
        ("rsa", {"n": ""}),
        ("rsa", {"n": 5}),
        ("rsa", {"n": "AA=="}),
        ("rsa", {"e": "AQ"}),  # 1
        ("rsa", {"e": "AQAA"}),  # 65536: even
        ("rsa", {"e": "_________w"}),
        ("rsa", {"d": "AQAB"}),
        ("rsa", {"k": "AQAB"}),
        ("rsa-small", {}),
        ("ec256", {"crv": "P-384"}),
        ("ec256", {"crv": "secp256k1"}),
        ("ec256", {"crv": None}),
        ("ec256", {"x": None}),
        ("ec256", {"x": "AQAB"}),
        ("ec256", {"y": "A" * 43}),  # not on the curve
        ("ec256", {"d": "AQAB"}),
        ("ed", {"crv": "X25519"}),
        ("ed", {"x": "AQAB"}),
        ("ed", {"x": None}),
    ],
)
def test_a_key_that_is_not_for_us_is_refused(ring: Any, name: str, members: dict[str, Any]) -> None:
    assert isinstance(read_key(ring.jwk(name, **members), ALL), Unusable)
    assert isinstance(
        read_key(ring.jwk(name if name != "rsa-small" else "rsa"), ALL), VerificationKey
    )


@pytest.mark.must(12)
def test_a_symmetric_key_is_never_taken() -> None:
    jwk = {"kty": "oct", "kid": "k", "k": "AAAA", "alg": "HS256", "use": "sig"}
    assert isinstance(read_key(jwk, (*ALL, "HS256")), Unusable)


def test_members_that_scope_a_key_are_kept(ring: Any) -> None:
    jwk = ring.jwk("rsa", issuer="i", cloud_instance_name="c", workload="shop/a", x5c=["ignored"])
    key = read_key(jwk, ALL)
    assert isinstance(key, VerificationKey)
    assert (key.issuer, key.cloud_instance_name, key.workload) == ("i", "c", "shop/a")


@pytest.mark.must(12)
def test_a_kid_that_stands_for_different_keys_is_refused_and_the_others_stay(ring: Any) -> None:
    found = read_keys(ring.jwks(ring.jwk("rsa", kid="x"), ring.jwk("rsa-b", kid="x"), "ec256"), ALL)
    assert isinstance(found, KeySet)
    assert set(found.keys) == {"ec256"}
    assert any("'x'" in sentence for sentence in found.refused)


@pytest.mark.must(12)
@pytest.mark.parametrize("other", [{"use": "enc"}, {"alg": "PS256"}, {"issuer": "i"}])
def test_one_key_with_two_meanings_under_one_kid_is_ambiguous(ring: Any, other: Any) -> None:
    raw = ring.jwks(ring.jwk("rsa"), ring.jwk("rsa", **other))
    assert isinstance(read_keys(raw, ALL), Unusable)


def test_the_same_entry_twice_is_one_key(ring: Any) -> None:
    found = read_keys(ring.jwks("rsa", "rsa"), ALL)
    assert isinstance(found, KeySet)
    assert set(found.keys) == {"rsa"}


@pytest.mark.must(35)
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{}",
        b"[]",
        b"null",
        b'{"keys":[]}',
        b'{"keys":{}}',
        b'{"keys":null}',
        b'{"keys":[1,null,"k",[]]}',
        b'{"keys":[{}]}',
        b'{"keys":[],"keys":[]}',
        b"<!doctype html><html><body>Sign in</body></html>",
        b"\xef\xbb\xbf{}",
        b"\x00" * 64,
    ],
)
def test_a_document_without_a_key_is_unusable_and_says_so(raw: bytes) -> None:
    found = read_keys(raw, ALL)
    assert isinstance(found, Unusable)
    assert found.sentence.startswith("the keys document")


@pytest.mark.must(35)
def test_a_truncated_document_is_unusable_wherever_it_is_cut(ring: Any) -> None:
    raw = ring.jwks("ec256", "ed")
    for end in range(len(raw)):
        assert isinstance(read_keys(raw[:end], ALL), Unusable)
    assert isinstance(read_keys(raw, ALL), KeySet)


@pytest.mark.must(42)
def test_a_document_with_too_many_keys_is_unusable(ring: Any) -> None:
    jwks = [ring.jwk("ed", kid=str(n)) for n in range(MAX_KEYS + 1)]
    assert isinstance(read_keys(ring.jwks(*jwks), ALL), Unusable)
    assert isinstance(read_keys(ring.jwks(*jwks[:-1]), ALL), KeySet)


@pytest.mark.must(35)
def test_no_kid_finds_no_key_even_where_there_is_only_one(ring: Any) -> None:
    found = read_keys(ring.jwks("rsa"), ALL)
    assert isinstance(found, KeySet)
    assert found.get(None) is None
    assert found.get("") is None
    assert found.get("rsa") is not None


def test_two_readings_of_one_document_are_equal(ring: Any) -> None:
    raw = ring.jwks("rsa", "ec256", "ed")
    assert read_keys(raw, ALL) == read_keys(json.dumps(json.loads(raw)).encode(), ALL)
    assert read_keys(raw, ALL) != read_keys(ring.jwks("rsa", "ec256"), ALL)
