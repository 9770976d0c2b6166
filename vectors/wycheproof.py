"""Project Wycheproof: JWS, JWK, JWE, and the primitives below them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import load_der_public_key

from agent.identity.unusable import Unusable
from vectors.case import Case, Corpus, Origin, Said
from vectors.examination import document, key_of, public, refusal_of_jws
from vectors.ring import public_jwk

ORIGIN = Origin("wycheproof", "https://github.com/C2SP/wycheproof", "Apache-2.0")


def _groups(corpora: Path, name: str) -> list[dict[str, Any]]:
    file = corpora / "wycheproof" / "testvectors_v1" / f"{name}_test.json"
    groups: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["testGroups"]
    return groups


def _keys(group: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A group's `public`, or `private`, is the key, or the set of keys."""
    said = group.get("public") or group["private"]
    keys: list[dict[str, Any]] = said.get("keys", [said])
    return keys


def _tokens(name: str) -> Callable[[Path], Iterator[Case]]:
    def read(corpora: Path) -> Iterator[Case]:
        for group in _groups(corpora, name):
            jwks = _keys(group)
            kid = jwks[0].get("kid") if len(jwks) == 1 else None
            raw = document(*map(public, jwks))
            for test in group["tests"]:
                token = test.get("jws", test.get("jwe"))
                refusal = refusal_of_jws(token, raw, kid)
                # the key as it is published, secrets and all, must help nobody either
                if refusal:
                    refusal = refusal_of_jws(token, document(*jwks), kid) and refusal
                yield Case(str(test["tcId"]), Said(test["result"]), refusal)

    return read


def _primitives(name: str, alg: str) -> Callable[[Path], Iterator[Case]]:
    """Signatures, under the group's key as our own reader understands it."""

    def read(corpora: Path) -> Iterator[Case]:
        for group in _groups(corpora, name):
            # the same key twice: as the corpus writes the JWK, and as we write it
            said = group.get("publicKeyJwk") or group.get("keyJwk")
            loaded = public_jwk(load_der_public_key(bytes.fromhex(group["publicKeyDer"])))
            keys = [key_of(jwk) for jwk in (loaded, said) if jwk]
            for test in group["tests"]:
                message, signature = bytes.fromhex(test["msg"]), bytes.fromhex(test["sig"])
                why = [
                    key.sentence
                    if isinstance(key, Unusable)
                    else ""
                    if key.signed(alg, message, signature)
                    else "the signature is wrong"
                    for key in keys
                ]
                result = test["result"].replace("acceptable", "either")
                # refused only where every reading of the key refuses it, if it ought to be
                refused = all(why) if result == "invalid" else any(why)
                yield Case(str(test["tcId"]), Said(result), max(why) if refused else "")

    return read


def _agreements(name: str) -> Callable[[Path], Iterator[Case]]:
    """Keys that agree on secrets and sign nothing; those of another curve may well be for us."""
    signing = {"P-256", "P-384", "P-521", "Ed25519", "Ed448"}

    def read(corpora: Path) -> Iterator[Case]:
        for group in _groups(corpora, name):
            for test in group["tests"]:
                found = key_of(test["public"])
                refusal = found.sentence if isinstance(found, Unusable) else ""
                ours = test["public"].get("crv") in signing
                yield Case(str(test["tcId"]), Said.EITHER if ours else Said.INVALID, refusal)

    return read


def _corpus(name: str, how: str, count: int, read: Callable[[Path], Iterator[Case]]) -> Corpus:
    return Corpus(f"wycheproof {name}", "wycheproof", how, count, read)


_TOKEN = "a token and its keys, to the signature and through the whole verifier"
_KEY = "a signature, under the key that our JWK reader makes"
_NO_KEY = "a key for key agreement, to our JWK reader; none may be taken"

CORPORA = (
    _corpus("json_web_signature", _TOKEN, 401, _tokens("json_web_signature")),
    _corpus("json_web_key", _TOKEN, 26, _tokens("json_web_key")),
    _corpus("json_web_crypto", _TOKEN, 83, _tokens("json_web_crypto")),
    _corpus("json_web_encryption", _TOKEN, 139, _tokens("json_web_encryption")),
    *(
        _corpus(name, _KEY, count, _primitives(name, alg))
        for name, alg, count in (
            ("rsa_signature_2048_sha256", "RS256", 259),
            ("rsa_pss_2048_sha256_mgf1_32", "PS256", 108),
            ("ecdsa_secp256r1_sha256_p1363", "ES256", 262),
            ("ecdsa_secp384r1_sha384_p1363", "ES384", 280),
            ("ecdsa_secp521r1_sha512_p1363", "ES512", 318),
            ("ed25519", "EdDSA", 151),
        )
    ),
    _corpus("x25519_jwk", _NO_KEY, 531, _agreements("x25519_jwk")),
    _corpus("x448_jwk", _NO_KEY, 523, _agreements("x448_jwk")),
)
