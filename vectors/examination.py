"""Would our own code take this token, or this key? The way the verifier goes, vectors in hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent.config.issuers import Oidc
from agent.errors import Denial
from agent.identity.issuers.document import Loaded
from agent.identity.issuers.oidc import OidcIssuer
from agent.identity.jose import unpack
from agent.identity.jwk import VerificationKey, read_key
from agent.identity.keys import KeySet, read_keys
from agent.identity.principal import RawToken, Verified
from agent.identity.refresh import Source
from agent.identity.signature import CHECKS
from agent.identity.sources import URL_PACE, State, succeeded
from agent.identity.unusable import Unusable
from agent.identity.verifier import Verifier
from agent.moment import Moment

ALL = tuple(CHECKS)
ISSUER, AUDIENCE, NOW = "https://op.example", "orders", 1_800_000_000.0
_SECRET = ("d", "p", "q", "dp", "dq", "qi")


def public(jwk: Mapping[str, Any]) -> dict[str, Any]:
    """The public half of a JWK; a symmetric key stays what it is."""
    return {name: value for name, value in jwk.items() if name not in _SECRET}


def document(*jwks: Mapping[str, Any]) -> bytes:
    """A keys document of these."""
    return json.dumps({"keys": jwks}).encode()


def verifier(keys: KeySet) -> Verifier:
    """The real one, over one OpenID issuer whose keys are there; it fetches nothing."""
    entry = OidcIssuer(
        "op",
        Oidc(issuer=ISSUER, audiences=(AUDIENCE,), algorithms=ALL),  # type: ignore[arg-type]
    )
    source = Source(entry.documents[0], "op")
    source.state = succeeded(State(), Loaded(ISSUER, keys), NOW, URL_PACE, 0.0)
    return Verifier([entry], {entry.documents[0]: source}, lambda *_: True, skew=60, max_tokens=100)


def refusal_of_jwt(token: str, over: Verifier) -> str:
    """Why the whole verifier refuses *token*; empty where it takes it."""
    found = over.verify(RawToken(token), Moment(NOW, 5.0))
    return found.detail if isinstance(found, Denial) else ""


def refusal_of_jws(token: object, jwks: bytes, kid: str | None = None) -> str:
    """Why *token* is refused under the keys of *jwks*; empty where the signature is taken.

    Most vectors sign what is no set of claims. So this goes as far as the signature, and the
    whole verifier is asked as well: what it takes counts as taken. *kid*: the key that the corpus
    means, where its tokens do not say.
    """
    text = token if isinstance(token, str) else json.dumps(token)
    unpacked = unpack(text)
    if isinstance(unpacked, Denial):
        return unpacked.detail
    keys = read_keys(jwks, ALL)
    if isinstance(keys, Unusable):
        return keys.sentence
    if isinstance(verifier(keys).verify(RawToken(text), Moment(NOW, 5.0)), Verified):
        return ""
    key = keys.get(kid or unpacked.header.kid)
    if key is None:
        return "; ".join(keys.refused) or "the token's key id is not known"
    header = unpacked.header
    if header.alg not in key.algorithms:
        return "the token's algorithm is not that of its key"
    if not key.signed(header.alg, unpacked.signing_input, unpacked.signature):
        return "the signature is wrong"
    return ""


def key_of(jwk: Mapping[str, Any]) -> VerificationKey | Unusable:
    """Our reading of one key, whatever algorithm it is for."""
    return read_key({"kid": "k"} | dict(jwk), ALL)
