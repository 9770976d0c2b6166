"""One sign-in under way: what binds the browser that began it to the answer that comes back.

RFC 6749 §4.1, RFC 7636 (PKCE), RFC 9700 §2.1, OpenID Connect Core §3.1.2.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field, fields
from urllib.parse import urlencode

from agent.errors import Denial

LIFE = 600.0  # seconds that a person may take to sign in
MOST = 8  # sign-ins under way in one browser
_MAX_TARGET = 2048  # bytes of path and query to which a person is brought back
_ID = 8  # bytes


@dataclass(frozen=True, slots=True)
class Asked:
    """What a sign-in must show beyond a password; empty texts ask for nothing.

    `claims` is the JSON of a claims request (OpenID Connect Core §5.5), `acr_values` and `max_age`
    are parameters (§3.1.2.1).
    """

    claims: str = ""
    acr_values: str = ""
    max_age: str = ""

    @property
    def text(self) -> str:
        """One text by which two are compared; empty for none."""
        said = astuple(self)
        return json.dumps(said) if any(said) else ""


@dataclass(frozen=True, slots=True)
class Flow:
    """What the browser keeps, sealed, until the provider sends it back. `begun`: UTC seconds."""

    id: str
    login: str
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    target: str
    redirect_uri: str
    begun: float
    claims: str
    asked: str

    def packed(self) -> bytes:
        """The flow as bytes; `unpacked` reads them back."""
        return json.dumps(astuple(self)).encode()

    def answers(self, state: str, now: float) -> bool:
        """Whether an answer with *state* is to this flow, and in time."""
        in_time = self.begun <= now + 1 and now < self.begun + LIFE
        return in_time and hmac.compare_digest(self.state.encode(), state.encode())


def unpacked(content: bytes) -> Flow | None:
    """What `Flow.packed` gave."""
    values = json.loads(content)
    return Flow(*values) if len(values) == len(fields(Flow)) else None


def begin(
    login: str,
    target: str,
    redirect_uri: str,
    asked: Asked,
    claims: str,
    now: float,
    random: Callable[[int], bytes],
) -> Flow:
    """A new flow; *target* is our own path and query, *claims* the whole claims request."""
    drawn = random(_ID + 96)
    name = drawn[:_ID].hex()
    state, nonce, verifier = (_text(drawn[_ID + 32 * n : _ID + 32 * (n + 1)]) for n in range(3))
    if len(target) > _MAX_TARGET or not target.isascii() or not target.isprintable():
        target = target.partition("?")[0]
        if len(target) > _MAX_TARGET or not target.isascii() or not target.isprintable():
            target = "/"
    return Flow(
        id=name,
        login=login,
        state=f"{name}.{state}",
        nonce=nonce,
        verifier=verifier,
        target=target,
        redirect_uri=redirect_uri,
        begun=now,
        claims=claims,
        asked=asked.text,
    )


def flow_id(state: str) -> str:
    """Which flow a `state` speaks of; empty where it cannot be one of ours."""
    name = state.partition(".")[0]
    plain = len(name) == 2 * _ID and all(letter in "0123456789abcdef" for letter in name)
    return name if plain else ""


def authorization_url(
    endpoint: str, client_id: str, scopes: str, flow: Flow, asked: Asked, further: Mapping[str, str]
) -> str:
    """Where the browser is sent; *further* parameters take the place of none of ours."""
    parameters = {
        **further,
        "client_id": client_id,
        "response_type": "code",
        "redirect_uri": flow.redirect_uri,
        "scope": scopes,
        "state": flow.state,
        "nonce": flow.nonce,
        "code_challenge": challenge(flow.verifier),
        "code_challenge_method": "S256",
    }
    more = {
        "claims": flow.claims,
        "acr_values": asked.acr_values,
        "max_age": asked.max_age,
    }
    parameters |= {name: value for name, value in more.items() if value}
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters)}"


def challenge(verifier: str) -> str:
    """RFC 7636 §4.2.

    >>> challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
    """
    return _text(hashlib.sha256(verifier.encode("ascii")).digest())


def asked_of(denial: Denial) -> Asked:
    """What a denial asks of the next sign-in (RFC 9470 §3, §4)."""
    said: Mapping[str, str] = dict(denial.challenge)
    return Asked(denial.claims or "", said.get("acr_values", ""), said.get("max_age", ""))


def merged(*requests: str) -> str:
    """One claims request of several; a later one wins where two name the same claim.

    >>> merged('{"access_token":{"a":1}}', "", '{"access_token":{"b":2}}')
    '{"access_token":{"a":1,"b":2}}'
    """
    whole: dict[str, dict[str, object]] = {}
    for request in filter(None, requests):
        found = json.loads(request)
        if not isinstance(found, dict):
            continue
        for section, members in found.items():
            if isinstance(members, dict):
                whole[section] = whole.get(section, {}) | members
    return json.dumps(whole, separators=(",", ":")) if whole else ""


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
