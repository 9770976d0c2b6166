"""Whom do we trust, by the present configuration, and are their keys there?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.config.attache import Attache
from agent.config.issuers import B2C, Entra, Internal, Introspection, Issuer, Oidc
from agent.errors import Denial, Reason
from agent.identity.introspection.endpoint import Endpoint
from agent.identity.introspection.introspector import Ask, Introspector
from agent.identity.issuers.b2c import B2CIssuer
from agent.identity.issuers.document import Document, Loaded
from agent.identity.issuers.entra import EntraIssuer
from agent.identity.issuers.entry import Entry
from agent.identity.issuers.internal import InternalIssuer
from agent.identity.issuers.introspection import IntrospectionIssuer
from agent.identity.issuers.oidc import OidcIssuer
from agent.identity.issuers.transaction import TransactionIssuer
from agent.identity.principal import IssuerKind, RawToken, Verified
from agent.identity.refresh import Refresher, Source
from agent.identity.sources import Fetch, succeeded
from agent.identity.verifier import Notice, Stated, Verifier
from agent.moment import Moment, Waiting, nobody_else

# Issuers that are known by their configuration come before those whose name is discovered: no
# metadata can then claim the `iss` of another entry.
_ORDER = (IssuerKind.OIDC, IssuerKind.INTERNAL, IssuerKind.ENTRA, IssuerKind.B2C)


class Trust:
    """The issuers of one configuration, their keys, and the verifier over them."""

    def __init__(
        self,
        entries: tuple[Entry, ...],
        sources: Mapping[Document, Source],
        refresher: Refresher,
        verifier: Verifier,
        clock: Callable[[], float],
        introspector: Introspector | None = None,
        transactions: Verifier | None = None,
    ) -> None:
        self._entries = entries
        self._transactions = transactions
        self._introspector = introspector
        self._sources = sources
        self._refresher = refresher
        self._verifier = verifier
        self._clock = clock

    @classmethod
    def build(
        cls,
        config: Attache,
        clock: Callable[[], float],
        fetch: Fetch,
        previous: Trust | None = None,
        waiting: Waiting = nobody_else,
        notice: Notice | None = None,
        endpoint: Callable[[Introspection], Ask] = Endpoint,
    ) -> Trust:
        """Assemble what *config* says. What *previous* knows of unchanged documents is kept.

        *clock* gives UTC seconds. Verified tokens are never carried over: they hold under the
        configuration that they were verified by (SECURITY.md 15). *notice* hears of every stage.
        """
        entries = _entries(config)
        known = previous._sources if previous else {}
        sources = {
            document: known.get(document) or Source(document, entry.name)
            for entry in entries
            for document in entry.documents
        }
        most = max(1, config.agent.threads // 2)
        refresher = Refresher(sources.values(), fetch, clock, most_waiting=most, waiting=waiting)
        introspector = next(
            (
                Introspector(
                    IntrospectionIssuer(issuer.name, issuer.introspection, config.agent.clock_skew),
                    endpoint(issuer.introspection),
                    clock,
                    max_tokens=config.agent.max_tokens,
                    most_waiting=most,
                    waiting=waiting,
                )
                for issuer in config.issuers
                if issuer.introspection
            ),
            None,
        )
        verifier = Verifier(
            sorted(entries, key=lambda entry: _ORDER.index(entry.kind)),
            sources,
            refresher.ask,
            skew=config.agent.clock_skew,
            max_tokens=config.agent.max_tokens,
            notice=notice,
            introspector=introspector,
        )
        transactions = Verifier(
            [
                TransactionIssuer(issuer.name, issuer.internal, config.agent.clock_skew)
                for issuer in config.issuers
                if issuer.internal and issuer.internal.txn_token != "ignore"
            ],
            sources,
            refresher.ask,
            skew=config.agent.clock_skew,
            max_tokens=config.agent.max_tokens,
        )
        return cls(entries, sources, refresher, verifier, clock, introspector, transactions)

    def start(self) -> None:
        """Begin to fetch keys, in the background."""
        self._refresher.start()

    def stop(self) -> None:
        """End the background's work; what is known stays."""
        self._refresher.stop()
        if self._introspector is not None:
            self._introspector.stop()

    def settle(self, load: Callable[[str, Document], Loaded | None]) -> None:
        """Take what *load* gives for each issuer's documents instead of fetching any."""
        now = self._clock()
        for document, source in self._sources.items():
            loaded = load(source.owner, document)
            if loaded is not None:
                source.state = succeeded(source.state, loaded, now, source.pace, 0.0)

    def statement(self, token: str, audience: str, moment: Moment) -> Stated | Denial:
        """See `Verifier.statement`."""
        return self._verifier.statement(token, audience, moment)

    def verify(self, token: RawToken, moment: Moment) -> Verified | Denial:
        """See `Verifier.verify`."""
        return self._verifier.verify(token, moment)

    def verify_transaction(self, token: RawToken, moment: Moment) -> Verified | Denial:
        """`Verifier.verify` for Txn-Tokens: what it takes is no bearer, and no bearer is taken."""
        if self._transactions is None:
            return Denial(Reason.UNTRUSTED_ISSUER, "No Txn-Token is accepted here.")
        return self._transactions.verify(token, moment)

    def recognise(self, token: str) -> bool:
        """Whether *token* names an issuer that we trust; nothing of it is verified."""
        return self._verifier.recognise(RawToken(token))

    def wait_ready(self, seconds: float) -> bool:
        """Wait until every document was tried and nothing is missing; False after *seconds*."""
        tried = self._sources.values()
        return self._refresher.wait(
            lambda: all(source.attempts for source in tried) and not self.missing(), seconds
        )

    def wait_tried(self, seconds: float) -> bool:
        """Wait until every document was tried, with whatever result; False after *seconds*."""
        tried = self._sources.values()
        return self._refresher.wait(lambda: all(source.attempts for source in tried), seconds)

    def missing(self) -> list[str]:
        """For whose tokens keys are missing, and why: one sentence each."""
        now = self._clock()
        sentences = self._introspector.missing() if self._introspector else []
        for entry in self._entries:
            groups: dict[str, list[Source]] = {}
            for document in entry.documents:
                groups.setdefault(document.group, []).append(self._sources[document])
            for group, members in groups.items():
                untried = not all(member.attempts for member in members)
                if untried or not any(member.loaded(now) for member in members):
                    why = "; ".join(m.state.error for m in members if m.state.error)
                    part = f"issuer '{entry.name}'" + (f", {group}" if group else "")
                    sentences.append(f"{part}: no keys ({why or 'not fetched yet'})")
        return sentences

    def status(self) -> list[dict[str, Any]]:
        """What is known of each document, for /status; nothing in it is secret."""
        rows = [
            self._status_of(entry, self._sources[document])
            for entry in self._entries
            for document in entry.documents
        ]
        return [*rows, self._introspector.status()] if self._introspector else rows

    def fetched(self) -> list[tuple[str, str, float]]:
        """(issuer's name, part, UTC seconds of the last success) of each document with keys."""
        return [
            (entry.name, document.group, self._sources[document].state.fetched_at)
            for entry in self._entries
            for document in entry.documents
            if self._sources[document].state.loaded
        ]

    def _status_of(self, entry: Entry, source: Source) -> dict[str, Any]:
        state, now = source.state, self._clock()
        keys = state.loaded.keys if state.loaded else None
        return {
            "name": entry.name,
            "kind": entry.kind.value,
            "part": source.document.group,
            "source": source.document.source,
            "issuer": source.issuer() or source.document.issuer or None,
            "keys": sorted(keys.keys) if keys else [],
            "refused": list(keys.refused) if keys else [],
            "usable": source.loaded(now) is not None,
            "absent": state.absent_since is not None,
            "ageSeconds": round(now - state.fetched_at, 1) if keys else None,
            "nextSeconds": round(max(0.0, state.next_due - now), 1),
            "failures": state.failures,
            "error": state.error or None,
        }


def _entries(config: Attache) -> tuple[Entry, ...]:
    """The issuers whose tokens this agent verifies by keys."""
    made = (_entry(issuer, config.agent.clock_skew) for issuer in config.issuers)
    return tuple(entry for entry in made if entry is not None)


def _entry(issuer: Issuer, skew: float) -> Entry | None:
    rules = issuer.rules
    if isinstance(rules, Entra):
        return EntraIssuer(issuer.name, rules)
    if isinstance(rules, B2C):
        return B2CIssuer(issuer.name, rules)
    if isinstance(rules, Oidc):
        return OidcIssuer(issuer.name, rules)
    return InternalIssuer(issuer.name, rules, skew) if isinstance(rules, Internal) else None
