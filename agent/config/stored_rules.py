"""Do stored tokens fit their identities, their stores and each other? Rules between parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from agent.config.fields import in_cluster
from agent.config.identities import Identity
from agent.config.stored_tokens import StoredToken

if TYPE_CHECKING:
    from agent.config.attache import Attache

Path = tuple[str | int, ...]
Problem = tuple[Path, str]

_GUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}", re.ASCII)


def stored_tokens_fit(config: Attache) -> Iterator[Problem]:
    """A token belongs to one client, lies in one place, and somebody uses it."""
    identities = {item.name: item for item in config.identities}
    places: dict[object, str] = {}
    for index, token in enumerate(config.stored_tokens):
        path: Path = ("storedTokens", index)
        yield from _identity(token, identities, path)
        place = _place(token)
        if place in places:
            yield (*path, "store"), f"'{places[place]}' lies there already; give each its own place"
        places[place] = token.name
        redis = token.store.redis
        if redis and not (redis.tls or redis.plaintext):
            host = redis.address.host
            if not in_cluster(host, config.workload.namespace):
                yield (
                    (*path, "store", "redis", "url"),
                    f"the way to '{host}' is plain text; write rediss://, or plaintext: true where "
                    "the network itself protects it",
                )


def refresh_tokens_exist(config: Attache) -> Iterator[Problem]:
    """What a destination names must be kept."""
    known = {token.name for token in config.stored_tokens}
    for index, destination in enumerate(config.destinations):
        named = destination.credential.refresh_token
        if named and named.token not in known:
            names = ", ".join(sorted(known))
            remedy = f"write one of {names}, or add it" if names else "add it to storedTokens"
            yield (
                ("destinations", index, "credential", "refreshToken", "token"),
                f"stored token '{named.token}' does not exist; {remedy}",
            )


def _identity(token: StoredToken, identities: dict[str, Identity], path: Path) -> Iterator[Problem]:
    at = (*path, "identity")
    if token.identity not in identities:
        known = ", ".join(sorted(identities))
        remedy = f"write one of {known}, or add it" if known else "add it to identities"
        yield at, f"identity '{token.identity}' does not exist; {remedy}"
        return
    entra = identities[token.identity].entra
    if entra is None:
        return
    if not _GUID.fullmatch(entra.tenant):
        yield at, "its tenant is a domain, which no discovery document names; write the GUID"
    if not (entra.secret_file or entra.federated_token_file):
        yield (
            at,
            "a stored token's entra identity proves itself by secretFile or federatedTokenFile; "
            "write one of them, or an oauth identity with the tenant's issuer",
        )


def _place(token: StoredToken) -> object:
    store = token.store
    if store.file:
        return "file", FilePath(store.file.path)
    if store.redis:
        return "redis", store.redis.url, store.redis.key or token.name
    assert store.kubernetes_secret is not None
    secret = store.kubernetes_secret
    return "secret", secret.server, secret.namespace, secret.name, token.name
