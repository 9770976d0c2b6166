"""The examples of RFC 7520, 7797 and 8037: tokens of every form, and keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.identity.unusable import Unusable
from vectors.case import Case, Corpus, Origin, Said
from vectors.examination import document, key_of, public, refusal_of_jws

ORIGIN = Origin("jose-cookbook", "https://github.com/ietf-jose/cookbook", "Unlicense")


def _tokens(corpora: Path) -> Iterator[Case]:
    """Every output of every example, in every form; they are all valid somewhere."""
    folder = corpora / "jose-cookbook"
    for file in sorted(folder.glob("**/*.json")):
        example = json.loads(file.read_text(encoding="utf-8"))
        steps = [example, *(example[name] for name in ("sign", "encrypt") if name in example)]
        for step in steps:
            for form, token in sorted(step.get("output", {}).items()):
                name = f"{file.relative_to(folder).with_suffix('')} {form}"
                yield Case(name, Said.VALID, refusal_of_jws(token, document(_key(step)), "k"))


def _key(step: dict[str, Any]) -> dict[str, Any]:
    said = step["input"].get("key") or {}
    jwk = said[0] if isinstance(said, list) else said
    return {"kty": "none"} | public(jwk) | {"kid": "k"}


def _keys(corpora: Path) -> Iterator[Case]:
    """A key with its private half must never be published: it is refused, the public one taken."""
    for file in sorted((corpora / "jose-cookbook" / "jwk").glob("*.json")):
        jwk = json.loads(file.read_text(encoding="utf-8"))
        found = key_of(jwk)
        said = Said.VALID if "public" in file.name else Said.INVALID
        yield Case(file.stem, said, found.sentence if isinstance(found, Unusable) else "")


CORPORA = (
    Corpus(
        "jose-cookbook tokens",
        "jose-cookbook",
        "each form of each example, to the signature and through the whole verifier",
        69,
        _tokens,
    ),
    Corpus("jose-cookbook keys", "jose-cookbook", "keys, to our JWK reader", 6, _keys),
)
