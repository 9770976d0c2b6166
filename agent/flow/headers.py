"""What does the application see of its caller? Headers that nobody can forge (DESIGN.md §4)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple
from urllib.parse import quote

from agent import challenge
from agent.config.routes import OVERRIDES
from agent.context.carriers import HANDLE_HEADER, MOVED_STATE
from agent.flow.decision import Part
from agent.identity.principal import Kind, Principal, Verified

MAX_VALUE = 4096  # bytes of one claim copied to a header (SECURITY.md 13)

CORRELATION = "x-correlation-id"
REQUEST_ID = "x-request-id"

# Always overwritten or removed, on every allow, anonymous routes included.
IDENTITY = (
    "x-auth-kind",
    "x-auth-subject",
    "x-auth-tenant",
    "x-auth-client",
    "x-auth-scopes",
    "x-auth-roles",
    "x-auth-issuer",
    "x-auth-name",
    "x-auth-email",
)

# `Proxy` is HTTP_PROXY to a CGI program (CVE-2016-5385), and so would choose where the application
# sends its calls; a credential for some proxy (RFC 9110 §11.7.1) was verified by nobody.
MISLEADING = (*OVERRIDES, "proxy", "proxy-authorization")

DEFAULT_CLAIMS: Mapping[str, tuple[str, ...]] = {
    "x-auth-name": ("name",),
    "x-auth-email": ("email", "preferred_username"),
}

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# '%' is escaped as well, so that two values never look alike and decoding gives back what was there
_PLAIN = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")
_NO_COMMA = _PLAIN.replace(",", "")
_STAMPS = 1024  # callers whose headers are kept ready


def underscored(names: Iterable[str]) -> tuple[str, ...]:
    """Every spelling of *names* with some `-` written as `_`: WSGI and CGI read them alike."""
    return tuple(
        "".join(part + joint for part, joint in zip(name.split("-"), (*joints, ""), strict=True))
        for name in names
        for joints in product("-_", repeat=name.count("-"))
        if "_" in joints
    )


@dataclass(frozen=True, slots=True)
class Stamp:
    """The identity headers of one caller; `dropped` counts values that must not travel."""

    part: Part
    dropped: int = 0


class Said(NamedTuple):
    """All that the headers of a caller are made of; *claims* in the order of the badge's."""

    kind: Kind
    subject: str
    tenant: str
    client: str
    scopes: frozenset[str]
    roles: frozenset[str]
    issuer: str
    claims: tuple[str | tuple[str, ...], ...]


class Badge:
    """The identity headers of one configuration: which are written, which are stripped."""

    def __init__(self, extra: Mapping[str, str]) -> None:
        self._claims = {
            **DEFAULT_CLAIMS,
            **{name: (claim,) for name, claim in extra.items()},
        }
        ours = (*IDENTITY, *(name for name in self._claims if name not in IDENTITY))
        self._ours = ours
        users = tuple(self._claims.items())
        # An app has neither name nor address, whatever its token says.
        apps = tuple((name, () if name in DEFAULT_CLAIMS else of) for name, of in users)
        self._sought = {Kind.USER: users, Kind.APP: apps}
        stripped = underscored(
            (*ours, CORRELATION, REQUEST_ID, HANDLE_HEADER, challenge.HEADER, *MISLEADING)
        )
        unwritten = tuple(name for name in MISLEADING if name not in ours)
        self.always_removed = (*stripped, *unwritten, challenge.HEADER, MOVED_STATE)
        self.stripped = Part(remove=self.always_removed)
        self._stripped_few = Part(remove=tuple(n for n in self.always_removed if "_" not in n))
        self._nobody = self._stamp(None)
        self._stamps: dict[bytes, tuple[Principal, Stamp]] = {}
        self._same: dict[Said, Stamp] = {}

    @property
    def held(self) -> int:
        """How many stamps are kept: by token, and by what they say."""
        return len(self._stamps) + len(self._same)

    def strip(self, underscores_refused: bool) -> Part:
        """What is removed from everybody's request; no variants where none can have come in."""
        return self._stripped_few if underscores_refused else self.stripped

    def stamp(self, verified: Verified | None) -> Stamp:
        """The headers of a caller: known by the token, made once for all that say the same."""
        if verified is None:
            return self._nobody
        principal = verified.principal
        known = self._stamps.get(verified.token_hash)
        # An opaque token may say something else the next time that its server is asked.
        if known is None or known[0] is not principal:
            known = (principal, self._shared(self._said(principal)))
            if len(self._stamps) >= _STAMPS:
                self._stamps.clear()  # cheaper than an order of use, and as bounded
            self._stamps[verified.token_hash] = known
        return known[1]

    def headers(self, principal: Principal | None) -> tuple[dict[str, str], list[str], int]:
        """Return (headers to write, names to remove, values dropped) for *principal*.

        A value with control characters or over 4 KiB is dropped and counted; what is not ASCII,
        and `%`, travels percent-encoded as UTF-8 (SECURITY.md 13, 22).
        """
        return self._headers(self._said(principal) if principal else None)

    def _shared(self, said: Said) -> Stamp:
        """A user's next token says the same again; nothing but what it says is in a stamp."""
        known = self._same.get(said)
        if known is None:
            known = self._stamp(said)
            if len(self._same) >= _STAMPS:
                self._same.clear()
            self._same[said] = known
        return known

    def _stamp(self, said: Said | None) -> Stamp:
        written, removed, dropped = self._headers(said)
        return Stamp(Part(tuple(written.items()), tuple(removed), _metadata(said)), dropped)

    def _headers(self, said: Said | None) -> tuple[dict[str, str], list[str], int]:
        written: dict[str, str] = {}
        dropped = 0
        for name, value in self._values(said) if said else ():
            if not value:
                continue
            safe = safe_value(value) if isinstance(value, str) else safe_list(value)
            if safe is None:
                dropped += 1
            elif safe:
                written[name] = safe
        removed = [name for name in self._ours if name not in written]
        return written, removed, dropped

    def _values(self, said: Said) -> Iterable[tuple[str, str | tuple[str, ...]]]:
        return (
            ("x-auth-kind", said.kind.value),
            ("x-auth-subject", said.subject),
            ("x-auth-tenant", said.tenant),
            ("x-auth-client", said.client),
            ("x-auth-scopes", " ".join(sorted(said.scopes))),
            ("x-auth-roles", tuple(sorted(said.roles))),
            ("x-auth-issuer", said.issuer),
            *zip(self._claims, said.claims, strict=True),
        )

    def _said(self, principal: Principal) -> Said:
        claim_of = principal.claims.get
        claims: list[str | tuple[str, ...]] = []
        for _, names in self._sought[principal.kind]:
            value: str | tuple[str, ...] = ""
            for name in names:
                if value := _shown(claim_of(name)):
                    break
            claims.append(value)
        return Said(
            principal.kind,
            principal.subject,
            principal.tenant,
            principal.client,
            principal.scopes,
            principal.roles,
            principal.issuer,
            tuple(claims),
        )


def _metadata(said: Said | None) -> tuple[tuple[str, str], ...]:
    """Who the caller is, for Envoy's access log; it writes text, so the rules of headers hold."""
    if said is None:
        return ()
    known = {"subject": said.subject, "tenant": said.tenant, "client": said.client}
    return tuple((name, safe_value(value) or "") for name, value in known.items())


def safe_value(value: str, plain: str = _PLAIN) -> str | None:
    """*value* as a header may carry it, or None where it must not travel.

    >>> safe_value("Zoë 100%")
    'Zo%C3%AB 100%25'
    """
    if value.isascii() and value.isprintable() and "%" not in value and plain is _PLAIN:
        return value if len(value) <= MAX_VALUE else None  # `quote` would give the same
    if _CONTROL.search(value) or len(value) > MAX_VALUE:
        return None
    encoded = quote(value, safe=plain)
    return encoded if len(encoded) <= MAX_VALUE else None


def safe_list(values: Iterable[str]) -> str | None:
    """*values* with commas between them; a comma inside one is escaped."""
    encoded = [safe_value(value, _PLAIN if "," not in value else _NO_COMMA) for value in values]
    joined = ",".join([value for value in encoded if value is not None])
    return None if None in encoded or len(joined) > MAX_VALUE else joined


def _shown(value: object) -> str | tuple[str, ...]:
    """A claim as text, or as several texts; nothing where it is neither."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(value)
    return ""
