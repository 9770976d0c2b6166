"""The field's own vectors against our parser, keys and verifier (SECURITY.md, Vectors).

The whole folder is optional (see the fixture `corpora`); where it is there, a wrong number of
cases fails.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import load_pem_public_key, load_ssh_public_key

from agent.errors import Denial
from agent.identity.issuers.document import Document, Metadata, read_metadata
from agent.identity.jose import Unpacked, parse, unpack
from agent.identity.keys import KeySet, read_keys
from agent.identity.signature import CHECKS, signed_by
from agent.identity.strict_json import NotStrict, strict_object
from agent.identity.unusable import Unusable

ALL = tuple(CHECKS)


def accepts(token: object, jwks: dict[str, Any], kid: str | None = None) -> bool:
    """What the verifier does up to the signature; vectors have payloads that are no claims."""
    unpacked = unpack(token if isinstance(token, str) else json.dumps(token))
    keys = read_keys(json.dumps(jwks).encode(), ALL)
    if not isinstance(unpacked, Unpacked) or not isinstance(keys, KeySet):
        return False
    key = keys.get(kid or unpacked.header.kid)
    return key is not None and key.signed(
        unpacked.header.alg, unpacked.signing_input, unpacked.signature
    )


def public(jwk: dict[str, Any]) -> dict[str, Any]:
    """The public half of a JWK; a symmetric key stays what it is."""
    secret = ("d", "p", "q", "dp", "dq", "qi")
    return {name: value for name, value in jwk.items() if name not in secret}


def wycheproof(corpora: Path, name: str) -> list[dict[str, Any]]:
    file = corpora / "wycheproof" / "testvectors_v1" / name
    groups: list[dict[str, Any]] = json.loads(file.read_text())["testGroups"]
    return groups


@dataclass(frozen=True)
class Vector:
    id: int
    valid: bool
    accepted: bool
    symmetric: bool


def jws_vectors(corpora: Path) -> Iterator[Vector]:
    for group in wycheproof(corpora, "json_web_signature_test.json"):
        jwk = group.get("public") or group["private"]
        kid = jwk["kid"]
        for test in group["tests"]:
            yield Vector(
                test["tcId"],
                test["result"] == "valid",
                accepts(test["jws"], {"keys": [public(jwk)]}, kid),
                jwk["kty"] == "oct",
            )


# 367 and 370 are byte-identical to the valid 357 and, like it, symmetric. 346 and 350 are signed
# by PS384 with a key that says PS256; 347 and 351 have a key that says "ES521".
REFUSED_BY_POLICY = {346, 347, 350, 351}


@pytest.mark.must(1, 2, 4, 12)
def test_wycheproof_signatures(corpora: Path) -> None:
    vectors = list(jws_vectors(corpora))
    assert len(vectors) == 401
    assert [each.id for each in vectors if each.accepted and not each.valid] == []
    assert [each.id for each in vectors if each.accepted and each.symmetric] == []
    refused = {each.id for each in vectors if each.valid and not each.accepted}
    assert refused - {each.id for each in vectors if each.symmetric} == REFUSED_BY_POLICY
    assert sum(each.accepted for each in vectors) >= 20


@pytest.mark.must(2, 12)
def test_wycheproof_keys(corpora: Path) -> None:
    counted, accepted = 0, set()
    for group in wycheproof(corpora, "json_web_key_test.json"):
        jwks = group.get("public") or group["private"]
        for test in group["tests"]:
            counted += 1
            if accepts(test["jws"], {"keys": [public(jwk) for jwk in jwks["keys"]]}):
                accepted.add(test["tcId"])
    assert counted == 26
    assert accepted == {5}  # the other valid ones are symmetric


@pytest.mark.must(2)
@pytest.mark.parametrize(
    ("name", "alg", "count"),
    [
        ("rsa_signature_2048_sha256_test.json", "RS256", 259),
        ("rsa_pss_2048_sha256_mgf1_32_test.json", "PS256", 108),
        ("ecdsa_secp256r1_sha256_p1363_test.json", "ES256", 262),
        ("ecdsa_secp384r1_sha384_p1363_test.json", "ES384", 280),
        ("ecdsa_secp521r1_sha512_p1363_test.json", "ES512", 318),
        ("ed25519_test.json", "EdDSA", 151),
    ],
)
def test_wycheproof_primitives(corpora: Path, name: str, alg: str, count: int) -> None:
    counted, wrong = 0, []
    for group in wycheproof(corpora, name):
        key = load_pem_public_key(group["publicKeyPem"].encode())
        for test in group["tests"]:
            counted += 1
            message, signature = bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])
            found = signed_by(key, alg, message, signature)  # type: ignore[arg-type]
            # "acceptable" is a matter of taste; we refuse those as well
            if found is not (test["result"] == "valid"):
                wrong.append((test["tcId"], test["result"]))
    assert counted == count
    assert wrong == []


@pytest.mark.must(2)
def test_tokens_of_the_pyjwt_advisory(corpora: Path, ring: Any) -> None:
    """CVE-2022-29217: a public key in OpenSSH's form taken for an HMAC secret."""
    cases = json.loads((corpora / "pyjwt-keys" / "advisory.json").read_text())["cases"]
    assert len(cases) == 4
    for case in cases:
        key = load_ssh_public_key(case["key"].encode())
        assert isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey)
        holder = type(ring)({"k": type("Holder", (), {"public_key": lambda self, key=key: key})()})
        assert accepts(case["jwt"], {"keys": [holder.jwk("k")]}, "k") is (case["expect"] == "valid")


def test_keys_of_pyjwt(corpora: Path) -> None:
    """Private, symmetric and unknown ones are refused, the public ones taken."""
    folder = corpora / "pyjwt-keys" / "tests" / "keys"
    taken = set()
    files = sorted(folder.glob("jwk_*.json"))
    assert len(files) == 18
    for file in files:
        document = json.loads(file.read_text() or "{}")  # jwk_empty.json is what it says
        jwks = document.get("keys", [document])
        raw = json.dumps({"keys": [{"kid": "k"} | jwk for jwk in jwks]}).encode()
        if isinstance(read_keys(raw, ALL), KeySet):
            taken.add(file.name.removeprefix("jwk_").removesuffix(".json"))
    assert taken == {
        "ec_pub_P-256",
        "ec_pub_P-384",
        "ec_pub_P-521",
        "keyset_with_unknown_alg",
        "okp_pub_Ed25519",
        "okp_pub_Ed448",
        "rsa_pub",
    }


@pytest.mark.must(6)
@pytest.mark.parametrize(("kind", "count"), [("y", 95), ("n", 188), ("i", 35)])
def test_json_test_suite(corpora: Path, ring: Any, kind: str, count: int) -> None:
    """As header and as claims of a signed token; as members of an object, where they are valid."""
    files = sorted((corpora / "JSONTestSuite" / "test_parsing").glob(f"{kind}_*.json"))
    assert len(files) == count
    for file in files:
        raw = file.read_bytes()
        # Signed as they stand; the deepest one is longer than a token may be.
        as_claims = parse(ring.seal("ed", "EdDSA", b'{"alg":"EdDSA"}', raw))
        as_header = parse(ring.seal("ed", "EdDSA", raw, b"{}"))
        if kind == "n":
            assert isinstance(as_claims, Denial), file.name
            assert isinstance(as_header, Denial), file.name
            with pytest.raises(NotStrict):
                strict_object(b'{"a":' + raw + b"}")
        if kind == "y" and not _strict_refuses(file.name):
            assert strict_object(b'{"a":' + raw + b"}") == {"a": json.loads(raw)}, file.name


def _strict_refuses(name: str) -> bool:
    """Well-formed JSON that is ambiguous all the same (RFC 8259 §4)."""
    return "duplicated_key" in name


@pytest.mark.must(35)
def test_documents_of_microsofts_identity_model(corpora: Path) -> None:
    """Keys in plain base64 or under a byte order mark are refused, and so replace nothing."""
    folder = corpora / "ms-identitymodel" / "test"
    folder /= "Microsoft.IdentityModel.Protocols.OpenIdConnect.Tests"
    keys = {
        file.stem: read_keys(file.read_bytes(), ALL) for file in _named(folder, "*JsonWebKeySet*")
    }
    keys |= {"PingLabsJWKS": read_keys((folder / "PingLabsJWKS.json").read_bytes(), ALL)}
    assert {name for name, found in keys.items() if isinstance(found, KeySet)} == {"PingLabsJWKS"}
    assert all(isinstance(found, KeySet | Unusable) for found in keys.values())
    document = Document(group="", algorithms=ALL, discovery=("https://op.example/d",))
    read = {
        file.stem
        for file in [*_named(folder, "OpenIdConnectMetadata*"), *_named(folder, "*-configuration")]
        if isinstance(read_metadata(document, file.read_bytes()), Metadata)
    }
    assert read >= {"google-openid-configuration", "PingLabs-openid-configuration"}
    assert not any("Bad" in name for name in read)


def _named(folder: Path, pattern: str) -> list[Path]:
    found = sorted(folder.glob(f"{pattern}.json"))
    assert found
    return found


@pytest.mark.must(1)
def test_the_jose_cookbook(corpora: Path) -> None:
    """Compact JWS of asymmetric keys are accepted; JWE, JSON and detached forms are not."""
    folder = corpora / "jose-cookbook"
    accepted, seen = set(), 0
    for file in sorted(folder.glob("*/*.json")):
        example = json.loads(file.read_text())
        output = example.get("output")
        if not output:
            continue
        for form, token in sorted(output.items()):
            seen += 1
            key = example["input"].get("key") or {}
            jwk = public(key[0] if isinstance(key, list) else key) | {"kid": "k"}
            jwk.setdefault("kty", "none")
            if accepts(token, {"keys": [jwk]}, "k"):
                accepted.add(f"{file.name}:{form}")
    assert seen >= 30
    assert accepted == {
        "4_1.rsa_v15_signature.json:compact",
        "4_2.rsa-pss_signature.json:compact",
        "4_3.ecdsa_signature.json:compact",
        "jws.json:compact",
    }


def test_naughty_strings_are_read_or_refused_and_break_nothing(corpora: Path, ring: Any) -> None:
    strings = json.loads((corpora / "naughty-strings" / "blns.json").read_text())
    assert len(strings) == 515
    for text in strings:
        for token in (ring.mint("ed", {"iss": text, "aud": text}, kid=text), text):
            parse(token)
        found = parse(ring.mint("ed", {"sub": text}))
        assert isinstance(found, Denial) or found.claims["sub"] == text
