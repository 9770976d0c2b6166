"""Is this token genuine, ours to accept, and in time; and who is calling with it?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from agent.errors import Denial, Reason
from agent.identity.cache import Cache
from agent.identity.claims import Claims, Window, expired, other_audience, premature, window
from agent.identity.introspection.introspector import Introspector
from agent.identity.issuers.document import Document, Loaded
from agent.identity.issuers.entry import Entry, Signed, invalid, unavailable
from agent.identity.jose import Header, Parsed, opaque, parse
from agent.identity.jwk import VerificationKey
from agent.identity.principal import IssuerKind, RawToken, Verified
from agent.identity.refresh import Source
from agent.moment import Moment

MAX_CACHE_BYTES = 128 * 1024 * 1024
_LATEST = 1024  # tokens that are found without their digest
_SHORT = 4096  # bytes of such a token
_MARGIN = 0.05  # seconds of the deadline that are left for deciding after a wait


Ask = Callable[[Source, float], bool]
"""Have a source fetched for an unknown key id, waiting so many seconds (`Refresher.ask`)."""

Notice = Callable[[str, object], None]
"""Told what each stage of a verification found: `attache explain` listens, the agent does not."""

_Found = TypeVar("_Found")


@dataclass(frozen=True, slots=True)
class Stated:
    """What the issuer *issuer_name* said, and nobody else could have. Only a verifier makes one."""

    issuer_name: str
    kind: IssuerKind
    signed: Signed


@dataclass(slots=True)
class _Known:
    """A verified token, and under which keys it was verified."""

    verified: Verified
    window: Window
    source: Source
    loaded: Loaded
    key: VerificationKey
    generation: int


class Verifier:
    """Verifies tokens under one configuration of issuers.

    *entries* in the order in which they are asked whose token it is; what is nobody's may be one
    that *introspector* asks about. *skew* is in seconds.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        sources: Mapping[Document, Source],
        ask: Ask,
        *,
        skew: float,
        max_tokens: int,
        max_bytes: int = MAX_CACHE_BYTES,
        notice: Notice | None = None,
        introspector: Introspector | None = None,
    ) -> None:
        self._entries = tuple(entries)
        self._sources = sources
        # Looked up several times for each token, and a document's hash is that of eleven values.
        # Each stands beside its source so that nothing else can ever have its id.
        documents = [each for entry in entries for each in entry.documents]
        self._by_id = {id(each): (each, sources[each]) for each in documents}
        self._ask = ask
        self._skew = skew
        self._introspector = introspector
        self._cache: Cache[_Known] = Cache(max_tokens, max_bytes)
        # Those that came again, by the token itself: its digest costs more than all the rest.
        self._latest: dict[str, _Known] = {}
        self._notice = notice

    def verify(self, token: RawToken, moment: Moment) -> Verified | Denial:
        """Return proof of who is calling, or the first reason why there is none.

        Blocks only for an unknown key id or an unknown token of the introspector, and then for
        less than `moment.deadline`.
        """
        known = self._latest.get(token)
        if known is not None and _still_keyed(known, moment.now):
            return self._out_of_time(known.window, moment.now) or known.verified
        digest = _digest(token)
        known = self._cache.get(digest)
        if known is not None:
            if _still_keyed(known, moment.now):
                if denial := self._out_of_time(known.window, moment.now):
                    return denial
                self._keep_at_hand(token, known)
                return known.verified
            self._cache.discard(digest)
            self._latest.pop(token, None)
        if self._introspector is not None:
            held = self._introspector.held(digest, moment.now)
            if held is not None:
                return held
            if opaque(token):
                asked = self._introspector.verify(token, digest, moment)
                return self._found("introspection", asked)
        return self._verify(token, digest, moment)

    def _keep_at_hand(self, token: RawToken, known: _Known) -> None:
        if len(token) > _SHORT:
            return
        if len(self._latest) >= _LATEST:
            self._latest.clear()  # cheaper than an order of use, and as bounded
        self._latest[token] = known

    def recognise(self, token: RawToken) -> bool:
        """Whether *token* reads as one of ours, genuine or not: where it must not go, it does not.

        A token that cannot be read strictly could not have been accepted either. Any doubt about
        an issuer (its metadata is not there yet, the tenant is not listed) counts as ours. An
        opaque token is ours if it was accepted before: nothing else tells it from a stranger's.
        """
        if self._introspector is not None and self._introspector.knows(_digest(token)):
            return True
        parsed = parse(token)
        if isinstance(parsed, Denial):
            return False
        iss = parsed.claims.get("iss")
        if self._introspector is not None and iss and iss == self._introspector.entry.issuer:
            return True
        found = self._locate(iss, parsed.claims) if isinstance(iss, str) else None
        if isinstance(found, Denial):
            return found.reason is not Reason.UNTRUSTED_ISSUER
        return found is not None

    def statement(self, token: str, audience: str, moment: Moment) -> Stated | Denial:
        """What an issuer of ours says to *audience* in *token*, which opens nothing by itself.

        An ID token, or a logout token: signed by its issuer's key, in time, about a tenant that is
        accepted. What it must say besides is for whoever asked for it.
        """
        parsed = parse(token)
        if isinstance(parsed, Denial):
            return parsed
        iss = parsed.claims.get("iss")
        if not isinstance(iss, str):
            return Denial(Reason.MALFORMED_TOKEN, "The token names no issuer.")
        found = self._locate(iss, parsed.claims)
        if isinstance(found, Denial):
            return found
        entry, source = found
        keyed = self._key(source, parsed.header, moment)
        if isinstance(keyed, Denial):
            return keyed
        audiences = frozenset({audience})
        signed = self._signed(parsed, iss, audiences, (), source, *keyed, moment.now)
        if isinstance(signed, Denial):
            return signed
        return entry.elsewhere(signed) or Stated(entry.name, entry.kind, signed)

    def _verify(self, token: RawToken, digest: bytes, moment: Moment) -> Verified | Denial:
        parsed = self._found("token", parse(token))
        if isinstance(parsed, Denial):
            return parsed
        iss = parsed.claims.get("iss")
        if not isinstance(iss, str):
            return Denial(Reason.MALFORMED_TOKEN, "The token names no issuer.")
        found = self._found("issuer", self._locate(iss, parsed.claims))
        if isinstance(found, Denial):
            nobodys = found.reason is Reason.UNTRUSTED_ISSUER
            if nobodys and self._introspector and iss == self._introspector.entry.issuer:
                asked = self._introspector.verify(token, digest, moment)
                return self._found("introspection", asked)
            return found
        entry, source = found
        generation = source.state.generation
        keyed = self._found("key", self._key(source, parsed.header, moment))
        if isinstance(keyed, Denial):
            return keyed
        loaded, key = keyed
        audiences, stand_ins = entry.audiences, entry.stand_ins
        signed = self._signed(parsed, iss, audiences, stand_ins, source, loaded, key, moment.now)
        if isinstance(signed, Denial):
            return signed
        principal = self._found("principal", entry.principal(signed))
        if isinstance(principal, Denial):
            return principal
        verified = Verified(token, digest, principal, key.kid, signed.window.not_before)
        known = _Known(verified, signed.window, source, loaded, key, generation)
        # Measured with tokens of 0.6 to 12 KB: 2.8 times the text and 2 KiB of objects around it.
        self._cache.put(digest, known, 3 * len(token) + 2048)
        return verified

    def _locate(self, iss: str, claims: Claims) -> tuple[Entry, Source] | Denial:
        """SECURITY.md 10: whose token it is decides whose keys are looked at, and no others."""
        nearly: Denial | None = None
        for entry in self._entries:
            found = entry.locate(iss, claims, self._issuer)
            if isinstance(found, Document):
                return entry, self._source(found)
            if nearly is None or nearly.reason is Reason.UNTRUSTED_ISSUER:
                nearly = found or nearly
        return nearly or Denial(Reason.UNTRUSTED_ISSUER, "The token's issuer is not trusted here.")

    def _issuer(self, document: Document) -> str | None:
        return self._source(document).issuer()

    def _source(self, document: Document) -> Source:
        known = self._by_id.get(id(document))
        return known[1] if known is not None else self._sources[document]

    def _key(
        self, source: Source, header: Header, moment: Moment
    ) -> tuple[Loaded, VerificationKey] | Denial:
        loaded = source.loaded(moment.now)
        if loaded is None:
            return unavailable()
        if header.alg not in source.document.algorithms:
            return invalid("The token's algorithm is not one that its issuer may use.")
        key = loaded.keys.get(header.kid)
        if key is None and header.kid is not None:
            if not self._ask(source, moment.deadline - _MARGIN):
                return unavailable()
            loaded = source.loaded(moment.now) or loaded
            key = loaded.keys.get(header.kid)
        if key is None:
            return Denial(Reason.UNKNOWN_KEY, "The token is signed with a key that is not known.")
        return loaded, key

    def _signed(
        self,
        parsed: Parsed,
        iss: str,
        audiences: Collection[str],
        stand_ins: Collection[str],
        source: Source,
        loaded: Loaded,
        key: VerificationKey,
        now: float,
    ) -> Signed | Denial:
        if denial := self._found("signature", _forged(parsed, key)):
            return denial
        times = self._found("window", window(parsed.claims))
        if isinstance(times, Denial):
            return times
        denial = (
            self._found("time", expired(times, now, self._skew))
            or self._found("audience", other_audience(parsed.claims, audiences, stand_ins))
            or self._found("time", premature(times, now, self._skew))
        )
        if denial:
            return denial
        return Signed(iss, parsed.header, parsed.claims, times, key, source.document, loaded)

    def _found(self, stage: str, found: _Found) -> _Found:
        if self._notice is not None:
            self._notice(stage, found)
        return found

    def _out_of_time(self, times: Window, now: float) -> Denial | None:
        return expired(times, now, self._skew) or premature(times, now, self._skew)


def _forged(parsed: Parsed, key: VerificationKey) -> Denial | None:
    algorithm = parsed.header.alg
    if algorithm not in key.algorithms:
        return invalid("The token's algorithm is not that of its key.")
    if not key.signed(algorithm, parsed.signing_input, parsed.signature):
        return invalid("The token's signature is wrong.")
    return None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _still_keyed(known: _Known, now: float) -> bool:
    """Whether the token's key is still published, by its issuer and with the same meaning.

    Asked again only after the document has changed: a key that vanished from a fresh document
    takes its tokens with it at once. Keys that are too old to be trusted do so too.
    """
    if known.source.loaded(now) is None:
        return False
    state = known.source.state
    if state.generation == known.generation:
        return True
    now_loaded, then = state.loaded, known.loaded
    if (
        now_loaded is None
        or now_loaded.keys.get(known.key.kid) != known.key
        or now_loaded.issuer != then.issuer
        or now_loaded.cloud_instance_name != then.cloud_instance_name
    ):
        return False
    known.generation = state.generation
    return True
