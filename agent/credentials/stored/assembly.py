"""How does a stored token come out of its configuration: its client, its store, its rotator?"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.config.attache import Attache
from agent.config.identities import EntraIdentity, Identity, OAuthIdentity
from agent.config.stored_tokens import StoredToken, TokenStore
from agent.credentials.answers import Answer
from agent.credentials.oauth import OAuthClient
from agent.credentials.stored.file_store import FileStore
from agent.credentials.stored.keeper import Keeper
from agent.credentials.stored.life import Life
from agent.credentials.stored.rotator import LAST, Rotator, Surroundings
from agent.credentials.stored.rules import Rules
from agent.credentials.stored.seal import Seal
from agent.credentials.stored.secret_store import SecretStore
from agent.credentials.stored.store import Store
from agent.credentials.stored.vault import Vault


def identity_of(identity: Identity) -> OAuthIdentity:
    """The identity as a client of any OAuth 2 server; Entra is one (v2.0 endpoints)."""
    if identity.oauth:
        return identity.oauth
    entra = identity.entra
    assert entra is not None
    return OAuthIdentity.model_validate(_written(entra))


def _written(entra: EntraIdentity) -> dict[str, object]:
    proof: dict[str, object] = (
        {"secretFile": str(entra.secret_file), "authMethod": "client_secret_post"}
        if entra.secret_file
        else {"federatedTokenFile": str(entra.federated_token_file)}
    )
    trust = {"caFile": str(entra.ca_file)} if entra.ca_file else {}
    issuer = f"{entra.authority.rstrip('/')}/{entra.tenant.lower()}/v2.0"
    return {"issuer": issuer, "clientId": entra.client_id, **trust, **proof}


def rules_of(token: StoredToken, identity: Identity) -> Rules:
    """What holds for *token*. Entra takes a used refresh token for as long as it lives."""
    client = identity_of(identity)
    return Rules(
        token.name,
        client.token_url or client.issuer or "",
        client.client_id,
        grace=token.grace,
        reusable=token.reusable or identity.entra is not None,
        idle=token.idle_lifetime,
    )


def vault_of(
    token: StoredToken,
    clock: Callable[[], float],
    ticks: Callable[[], float],
    random: Callable[[int], bytes] = os.urandom,
    environment: Mapping[str, str] = os.environ,
) -> Vault:
    """Where *token* is kept, sealed."""
    store, key_file = _store(token.store, token.name, environment)
    return Vault(store, Seal(key_file, token.name, random), clock, ticks)


def _store(place: TokenStore, name: str, environment: Mapping[str, str]) -> tuple[Store, Path]:
    if place.file:
        return FileStore(place.file.path), place.file.key_file
    if place.redis:
        # redis takes 8 MB, which only those pay who use it
        from agent.credentials.stored.redis_store import RedisStore

        return RedisStore(place.redis, name), place.redis.key_file
    assert place.kubernetes_secret is not None
    secret = SecretStore(place.kubernetes_secret, name, environment)
    return secret, place.kubernetes_secret.key_file


def every(place: TokenStore) -> float:
    """Seconds between two looks at a store: one read each."""
    return 2.0 if place.file else 5.0 if place.redis else 15.0


def asker(token: StoredToken, client: OAuthClient, entra: bool) -> Callable[[str, float], Answer]:
    """How a refresh token of *token* is sent (RFC 6749 §6)."""
    more = {"resource": token.resource} if token.resource else {}
    if token.audience:
        more["audience"] = token.audience
    if entra and token.scopes:  # elsewhere what was granted is meant, and that may be less
        more["scope"] = " ".join(token.scopes)

    def ask(value: str, seconds: float) -> Answer:
        form = {"grant_type": "refresh_token", "refresh_token": value}
        return client.ask_once(form | more, seconds)

    return ask


def rotator_of(
    token: StoredToken, identity: Identity, client: OAuthClient, vault: Vault, around: Surroundings
) -> Rotator:
    """What rotates *token*."""
    return Rotator(
        identity.name,
        rules_of(token, identity),
        vault,
        asker(token, client, identity.entra is not None),
        around,
        token.absolute_lifetime,
        token.mounted,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """One token, and all that is at work for it."""

    token: StoredToken
    identity: Identity
    rotator: Rotator
    keeper: Keeper
    client: OAuthClient


class StoredTokens:
    """The stored tokens of one configuration; what a successor shares with it goes on."""

    def __init__(
        self,
        config: Attache,
        around: Surroundings,
        ticks: Callable[[], float],
        previous: StoredTokens | None = None,
    ) -> None:
        """Nothing runs before `start`. *ticks* gives seconds that never jump."""
        identities = {identity.name: identity for identity in config.identities}
        self._around = around
        self._kept: list[_Kept] = []
        for token in config.stored_tokens:
            identity = identities[token.identity]
            known = (kept for kept in (previous._kept if previous else ()) if kept.token == token)
            same = next((kept for kept in known if kept.identity == identity), None)
            self._kept.append(same or self._made(token, identity, ticks))

    @property
    def rotators(self) -> dict[str, Rotator]:
        """What rotates each token, by its name."""
        return {kept.token.name: kept.rotator for kept in self._kept}

    def start(self) -> None:
        """Look after every token; those that are looked after already go on."""
        for kept in self._kept:
            kept.keeper.start()

    def stop(self, successor: StoredTokens | None = None) -> None:
        """Look no more after what *successor* does not share.

        Without one the process is about to end: what is under way is waited for.
        """
        shared = set(map(id, successor._kept)) if successor else set()
        for kept in self._kept:
            if id(kept) not in shared:
                kept.keeper.stop()
                kept.rotator.close(0.0 if successor else LAST)
                kept.client.close()

    def lives(self) -> list[Life]:
        """How each token stands, as it was last seen."""
        return [rotator.life() for rotator in self.rotators.values()]

    def status(self) -> list[dict[str, Any]]:
        """What /status shows, in which there is no token. Times are RFC 3339."""
        return [
            {
                "name": life.name,
                "state": life.state.value,
                "problem": rotator.problem or None,
                "obtainedAt": _rfc3339(life.obtained_at),
                "usedAt": _rfc3339(life.used_at),
                "exercisedAt": _rfc3339(life.exercise_at),
                "endsAt": _rfc3339(life.ends_at),
                "idleEndsAt": _rfc3339(life.idle_ends_at),
                "rotations": rotator.generation,
                "store": rotator.store,
            }
            for rotator in self.rotators.values()
            for life in (rotator.life(),)
        ]

    def problems(self) -> list[str]:
        """What a person has to do, a sentence each."""
        return [rotator.problem for rotator in self.rotators.values() if rotator.problem]

    def _made(self, token: StoredToken, identity: Identity, ticks: Callable[[], float]) -> _Kept:
        around = self._around
        client = OAuthClient(identity.name, identity_of(identity), around.clock, around.new_id)
        vault = vault_of(token, around.clock, ticks)
        rotator = rotator_of(token, identity, client, vault, around)
        keeper = Keeper(rotator, every(token.store), around.random)
        return _Kept(token, identity, rotator, keeper, client)


def _rfc3339(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
