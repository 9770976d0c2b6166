"""Does each OAuth identity fit what destinations ask of it? Rules between parts of the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agent.config.identities import Identity
from agent.config.token_exchange import ShownToken, TokenExchange

if TYPE_CHECKING:
    from agent.config.attache import Attache

Path = tuple[str | int, ...]
Problem = tuple[Path, str]


def exchanges_fit(config: Attache) -> Iterator[Problem]:
    """What a token exchange names must exist and be able to do it (RFC 8693)."""
    identities = {item.name: item for item in config.identities}
    for index, destination in enumerate(config.destinations):
        exchange = destination.credential.token_exchange
        if exchange is None or exchange.identity not in identities:
            continue
        path: Path = ("destinations", index, "credential", "tokenExchange")
        if identities[exchange.identity].oauth is None:
            yield (
                (*path, "identity"),
                "a token exchange needs an oauth identity; name one that is, or use obo, which is "
                "how Entra exchanges tokens",
            )
            continue
        yield from _subjects(config, exchange, path)
        for name, own in (("actor", exchange.actor), ("own", exchange.own)):
            if own is not None:
                yield from _own_token(config, own, identities, (*path, name))
        fallback = exchange.subject == "either" and exchange.own is None
        if fallback and _public(identities[exchange.identity]):
            yield (
                path,
                f"identity '{exchange.identity}' cannot prove itself, so it gets no token of its "
                "own for subject: either; write own, or subject: user",
            )


def clients_can_prove_themselves(config: Attache) -> Iterator[Problem]:
    """RFC 6749 §4.4: client credentials are for clients that can keep a secret."""
    public = {item.name for item in config.identities if _public(item)}
    entra = {item.name for item in config.identities if item.entra}
    for index, destination in enumerate(config.destinations):
        asked = destination.credential.client_credentials
        if asked is None:
            continue
        path: Path = ("destinations", index, "credential", "clientCredentials")
        if asked.identity in public:
            yield (
                (*path, "identity"),
                "an identity with authMethod: none gets no token of its own; give it a secretFile "
                "or a keyFile, or name another",
            )
        if asked.resource and asked.identity in entra:
            yield (
                (*path, "resource"),
                "Entra takes no resource parameter; write scopes such as api://name/.default",
            )


def _subjects(config: Attache, exchange: TokenExchange, path: Path) -> Iterator[Problem]:
    known = {issuer.name: issuer for issuer in config.issuers}
    for position, name in enumerate(exchange.issuers):
        if name not in known:
            yield (
                (*path, "issuers", position),
                f"issuer '{name}' does not exist; write one of {', '.join(sorted(known)) or '-'}",
            )
    if exchange.subject == "app" or exchange.issuers:
        return
    if not any(issuer.internal is None for issuer in config.issuers):
        yield (
            path,
            "no issuer's tokens may be exchanged: internal ones leave the trust domain only where "
            "that is said; add an issuer, or name the internal one under issuers",
        )


def _own_token(
    config: Attache, own: ShownToken, identities: dict[str, Identity], path: Path
) -> Iterator[Problem]:
    if own.internal and config.internal_tokens is None:
        yield (*path, "internal"), "a minted token needs internalTokens; configure it"
    wanted = own.client_credentials and own.client_credentials.identity
    if not wanted:
        return
    at = (*path, "clientCredentials", "identity")
    if wanted not in identities:
        known = ", ".join(sorted(identities))
        yield at, f"identity '{wanted}' does not exist; write one of {known}, or add it"
    elif identities[wanted].oauth is None or _public(identities[wanted]):
        yield at, f"identity '{wanted}' is no oauth client with a proof; name one that is"


def _public(identity: Identity) -> bool:
    return identity.oauth is not None and identity.oauth.method == "none"
