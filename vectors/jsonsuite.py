"""JSONTestSuite: every text as a member of a signed header, and of signed claims."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from agent.identity.keys import KeySet, read_keys
from agent.identity.strict_json import NotStrict, strict_object
from vectors.case import Case, Corpus, Origin, Said
from vectors.examination import ALL, AUDIENCE, ISSUER, NOW, refusal_of_jwt, verifier
from vectors.ring import Ring

ORIGIN = Origin("JSONTestSuite", "https://github.com/nst/JSONTestSuite", "MIT")
_SAID = {"y": Said.VALID, "n": Said.INVALID, "i": Said.EITHER}
_CLAIMS = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": int(NOW) + 300}
_HEADER = {"alg": "EdDSA", "kid": "ed"}


def _texts(corpora: Path) -> Iterator[Case]:
    ring = Ring.new()
    keys = read_keys(ring.jwks("ed"), ALL)
    assert isinstance(keys, KeySet)
    over = verifier(keys)
    claims, header = (json.dumps(said).encode() for said in (_CLAIMS, _HEADER))
    for file in sorted((corpora / "JSONTestSuite" / "test_parsing").glob("[yni]_*.json")):
        raw, said = file.read_bytes(), _SAID[file.name[0]]
        for place, sealed in (
            ("header", (_with(header, raw), claims)),
            ("claims", (header, _with(claims, raw))),
        ):
            refusal = refusal_of_jwt(ring.seal("ed", "EdDSA", *sealed), over)
            if said is Said.INVALID and not (_refused(_with(b"{}", raw)) and _refused(raw)):
                # the longest texts are refused as tokens for their length: ask the reader too
                refusal = ""
            yield Case(f"{file.stem} in {place}", said, refusal)


def _with(members: bytes, raw: bytes) -> bytes:
    """The object *members* with one more, whose value is *raw*."""
    return (members[:-1] + b',"x":' + raw + b"}").replace(b"{,", b"{")


def _refused(raw: bytes) -> bool:
    try:
        strict_object(raw)
    except NotStrict:
        return True
    return False


CORPORA = (
    Corpus(
        "JSONTestSuite",
        "JSONTestSuite",
        "a member of the header and of the claims of a signed token, through the whole verifier",
        636,
        _texts,
    ),
)
