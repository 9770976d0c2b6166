"""PyJWT: the tokens of its advisory, and the keys of its own tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_ssh_public_key

from agent.identity.keys import read_keys
from agent.identity.unusable import Unusable
from vectors.case import Case, Corpus, Origin, Said
from vectors.examination import ALL, document, refusal_of_jws
from vectors.ring import public_jwk

ORIGIN = Origin("pyjwt-keys", "https://github.com/jpadilla/pyjwt", "MIT")

_PUBLIC = ("ec_pub_P", "okp_pub", "rsa_pub", "keyset_with_unknown_alg", "ec_pub_secp256k1")


def _advisory(corpora: Path) -> Iterator[Case]:
    """CVE-2022-29217: a public key in OpenSSH's form taken for an HMAC secret."""
    file = corpora / "pyjwt-keys" / "advisory.json"
    for number, case in enumerate(json.loads(file.read_text(encoding="utf-8"))["cases"], 1):
        jwk = public_jwk(load_ssh_public_key(case["key"].encode())) | {"kid": "k"}
        refusal = refusal_of_jws(case["jwt"], document(jwk), "k")
        yield Case(f"{case['cve']} {number}", Said(case["expect"]), refusal)


def _keys(corpora: Path) -> Iterator[Case]:
    for file in sorted((corpora / "pyjwt-keys" / "tests" / "keys").glob("jwk_*.json")):
        said = json.loads(
            file.read_text(encoding="utf-8") or "{}"
        )  # jwk_empty.json is what it says
        jwks = said.get("keys", [said])
        found = read_keys(document(*({"kid": "k"} | jwk for jwk in jwks)), ALL)
        name = file.stem.removeprefix("jwk_")
        yield Case(
            name,
            Said.VALID if name.startswith(_PUBLIC) else Said.INVALID,
            found.sentence if isinstance(found, Unusable) else "",
        )


CORPORA = (
    Corpus(
        "pyjwt-keys advisory",
        "pyjwt-keys",
        "a token under its key, to the signature and through the whole verifier",
        4,
        _advisory,
    ),
    Corpus("pyjwt-keys keys", "pyjwt-keys", "keys documents, to our reader", 18, _keys),
)
