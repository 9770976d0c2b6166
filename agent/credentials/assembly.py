"""Which credential belongs to which destination? Built from the configuration, kept on reload."""

from __future__ import annotations

import logging
import os
import random as randomness
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from agent.config.attache import Attache
from agent.config.destinations import Destination
from agent.config.identities import Identity
from agent.context.caller import Caller
from agent.credentials.credential import Credential, Injection, Own
from agent.credentials.exchange import Count, nobody_counts
from agent.credentials.keyring import LOOK, KeyRing
from agent.credentials.kinds import Client, client_of, credential_of
from agent.credentials.managed_identity import (
    ManagedIdentityToken,
    Unset,
    managed_identities,
    workload_identities,
)
from agent.credentials.mint import (
    Grant,
    Minted,
    Minter,
    Rules,
    enters_twice,
    too_many_hops,
)
from agent.credentials.own_token import OwnToken
from agent.credentials.secret_file import FileKey
from agent.credentials.shared import Shared, share
from agent.credentials.standing import row
from agent.credentials.token_exchange import TokenExchange
from agent.errors import Denial
from agent.identity.principal import IssuerKind, Verified
from agent.moment import Moment, Waiting, nobody_else

if TYPE_CHECKING:
    from agent.credentials.stored.assembly import StoredTokens
    from agent.credentials.stored.life import Life

log = logging.getLogger("attache.credentials")

Clock = Callable[[], float]

AHEAD = 1.0  # seconds before its end in which a pushed token is taken back from Envoy
# What the application may read in the token that it is given instead of the caller's.
_SHOWN_INSIDE = ("name", "preferred_username", "email", "roles")


class Credentials:
    """The credentials of one configuration. `retire` it when a successor has taken over."""

    def __init__(
        self,
        config: Attache,
        shared: Shared,
        clients: dict[Identity, Client],
        keyring: KeyRing | None,
        clock: Clock,
        workloads: Mapping[str, Identity | Unset] = MappingProxyType({}),
        logins: StoredTokens | None = None,
    ) -> None:
        self._config = config
        self._shared = shared
        self._clients = clients
        self._clock = clock
        self._stopping = threading.Event()
        self._logins = logins
        self.keyring = keyring
        self.minter = _minter(config, keyring) if keyring else None
        by_name = {identity.name: client for identity, client in clients.items()}
        ways = managed_identities(config, workloads, clients)
        rotators = logins.rotators if logins else {}
        self.by_destination: dict[str, Credential] = {
            destination.name: credential_of(
                destination, by_name, ways, self.minter, shared.exchange, rotators
            )
            for destination in config.destinations
        }
        self._delivered: list[tuple[str, Own]] = [
            (destination.name, credential)
            for destination in config.destinations
            if destination.delivery == "sds"
            and isinstance(credential := self.by_destination[destination.name], OwnToken | FileKey)
        ]

    @classmethod
    def build(
        cls,
        config: Attache,
        clock: Clock,
        previous: Credentials | None = None,
        executor: Executor | None = None,
        random: Callable[[], float] = randomness.random,
        waiting: Waiting = nobody_else,
        count: Count = nobody_counts,
        refreshed: Count = nobody_counts,
    ) -> Credentials:
        """Construct everything; nothing runs before `start`. *clock* returns UTC seconds.

        What *previous* obtained is kept: its tokens, and the clients of unchanged identities.
        *executor* runs the requests to servers; it should offer `shared.FETCHES` threads.
        *count* is told of each request: the identity's name, and `ok` or why not.
        *refreshed* is told of each request with a stored token: its name, and what came back.
        """
        former = previous._shared if previous else None
        shared = share(config, clock, random, executor, former, waiting, count)
        known = previous._clients if previous else {}
        workloads = workload_identities(config, os.environ)
        ours = [found for found in workloads.values() if isinstance(found, Identity)]
        clients = {
            identity: known.get(identity) or client_of(identity, clock, _new_id)
            for identity in (*config.identities, *ours)
        }
        ring = _keyring(config, previous, clock())
        logins = _logins(config, clock, random, refreshed, previous._logins if previous else None)
        built = cls(config, shared, clients, ring, clock, workloads, logins)
        for name, credential in built.by_destination.items():
            before = previous.by_destination.get(name) if previous else None
            if isinstance(credential, FileKey) and isinstance(before, FileKey):
                credential.take_over(before)
        return built

    def start(self) -> None:
        """Start the loop that renews tokens ahead of their end and looks at the key files."""
        threading.Thread(target=self._loop, name="credentials", daemon=True).start()
        if self._logins:
            self._logins.start()

    def stop(self) -> None:
        """End the loop and everything under way."""
        self._stopping.set()
        if self._logins:
            self._logins.stop()
        if self._shared.owned:
            self._shared.executor.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            client.close()

    def retire(self, successor: Credentials) -> None:
        """End what *successor* did not take over."""
        self._stopping.set()
        if self._logins:
            self._logins.stop(successor._logins)
        kept = set(map(id, successor._clients.values()))
        for client in self._clients.values():
            if id(client) not in kept:
                client.close()
        if self._shared.owned and self._shared.executor is not successor._shared.executor:
            self._shared.executor.shutdown(wait=False)

    def tick(self, now: float) -> None:
        """Do what is due at *now*: key files, tokens of our own that should be renewed."""
        if self.keyring:
            self.keyring.refresh(now)
        for credential in self.by_destination.values():
            if isinstance(credential, (OwnToken, FileKey, TokenExchange)):
                credential.renew(now)

    def pushed(self, now: float) -> dict[str, Injection]:
        """By destination, what Envoy should inject by itself from *now* on; never an expired one.

        What is missing is fetched in the background. A destination that is not here is decided on
        call by call, so that its callers learn why there is no credential.
        """
        found = {}
        for name, credential in self._delivered:
            credential.wanted(now)
            injection = credential.at_hand(now + AHEAD)
            if injection is not None:
                found[name] = injection
        return found

    def chain(self, verified: Verified) -> Denial | None:
        """Whether the caller's chain of calls comes here in a circle, or is too long."""
        if verified.principal.issuer_kind is not IssuerKind.INTERNAL:
            return None
        tokens = self._config.internal_tokens
        if denial := enters_twice(verified.principal, self._config.workload.id):
            return denial
        return too_many_hops(verified.principal, tokens.max_hops if tokens else 8)

    @property
    def swap(self) -> Callable[[Caller, Moment], Minted | Denial] | None:
        """What gives the application a token of ours; None where it sees the caller's own."""
        minter = self.minter
        if self._config.inbound.forward != "internal" or minter is None:
            return None
        grant = Grant(_own_audience(self._config), None, _SHOWN_INSIDE, inside=True)

        def swapped(caller: Caller, moment: Moment) -> Minted | Denial:
            return minter.mint(grant, caller, None, moment.now)

        return swapped

    def client(self, name: str) -> Client:
        """What asks the authorization server of the identity *name*."""
        return next(made for identity, made in self._clients.items() if identity.name == name)

    def needs_caller(self, destination: Destination) -> bool:
        """Whether doubt about the caller denies the call: it must not turn `either` into app."""
        choice = destination.credential
        if choice.internal:
            return choice.internal.subject != "app"
        if choice.token_exchange:
            return choice.token_exchange.subject != "app"
        return bool(choice.forward or choice.obo)

    def stored(self) -> list[Life]:
        """How the stored refresh tokens stand, as they were last seen; nobody is asked."""
        return self._logins.lives() if self._logins else []

    def degraded(self) -> list[str]:
        """What a person has to mend although requests are served, a sentence each."""
        return self._logins.problems() if self._logins else []

    def jwks(self) -> dict[str, Any]:
        """The published keys; none where no internal tokens are configured."""
        return self.keyring.jwks(self._clock()) if self.keyring else {"keys": []}

    def missing(self) -> list[str]:
        """What keeps credentials from being obtained for certain: a sentence each.

        An authorization server that is away is not among them: tokens in hand go on serving.
        """
        sentences = []
        if self.keyring and self.keyring.signer(self._clock()) is None:
            sentences.append(f"no signing key is in {self.keyring.path}")
        for identity, client in self._clients.items():
            if problem := client.unproven():
                sentences.append(f"identity '{identity.name}': {problem}")
        sentences.extend(
            credential.problem
            for credential in self.by_destination.values()
            if isinstance(credential, FileKey | ManagedIdentityToken) and credential.problem
        )
        return sentences

    def status(self) -> dict[str, Any]:
        """What /status shows: destinations, keys, the cache. No secret is in it."""
        now = self._clock()
        return {
            "destinations": [
                row(
                    destination,
                    self.by_destination[destination.name],
                    self._clients.values(),
                    self._shared.exchange.ledger,
                )
                for destination in self._config.destinations
            ],
            "storedTokens": self._logins.status() if self._logins else [],
            "keys": self.keyring.status(now) if self.keyring else [],
            "cachedTokens": len(self._shared.exchange.cache),
        }

    def _loop(self) -> None:
        while not self._stopping.wait(LOOK):
            try:
                self.tick(self._clock())
            except Exception:
                log.exception("looking after credentials failed. This is a bug: report it")


def _logins(
    config: Attache,
    clock: Clock,
    random: Callable[[], float],
    refreshed: Count,
    previous: StoredTokens | None,
) -> StoredTokens | None:
    if not config.stored_tokens and previous is None:
        return None
    # the store, the seal and the rotation: a twentieth of the start, which most do without
    from agent.credentials.stored.assembly import StoredTokens
    from agent.credentials.stored.rotator import Surroundings

    around = Surroundings(clock, time.sleep, random, _new_id, refreshed)
    return StoredTokens(config, around, time.monotonic, previous)


def _keyring(config: Attache, previous: Credentials | None, now: float) -> KeyRing | None:
    tokens = config.internal_tokens
    if tokens is None:
        return None
    ring = KeyRing(
        tokens.keys,
        config.workload.id,
        publish_delay=tokens.publish_delay,
        lifetime=tokens.lifetime,
        skew=config.agent.clock_skew,
        previous=previous.keyring if previous else None,
    )
    ring.refresh(now)
    return ring


def _minter(config: Attache, keyring: KeyRing) -> Minter:
    tokens = config.internal_tokens
    assert tokens is not None
    rules = Rules(
        tokens.issuer, config.workload.id, tokens.lifetime, tokens.max_hops, tokens.trust_domain
    )
    return Minter(rules, keyring.signer, _new_id, config.agent.max_tokens)


def _own_audience(config: Attache) -> str:
    """The audience under which this workload takes internal tokens; else its name."""
    for issuer in config.issuers:
        if issuer.internal:
            return issuer.internal.audience
    return config.workload.name


def _new_id() -> str:
    return secrets.token_urlsafe(16)
