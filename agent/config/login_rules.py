"""Can people sign in where a route says so: by which identity, and at which issuer?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from agent.config.identities import Identity
from agent.config.issuers import Issuer
from agent.config.login import Login

if TYPE_CHECKING:
    from agent.config.attache import Attache

Path = tuple[str | int, ...]


def written(config: Attache) -> Iterator[tuple[Path, Login]]:
    """Every `login` of *config*, and where it stands."""
    inbound = config.listeners.inbound
    if inbound and inbound.login:
        yield ("listeners", "inbound", "login"), inbound.login
    for index, route in enumerate(config.routes):
        if route.login:
            yield ("routes", index, "login"), route.login


def issuer_of(config: Attache, login: Login, identity: Identity) -> Issuer | None:
    """The entry of `issuers` at which *identity* signs people in; None if none fits."""
    for issuer in config.issuers:
        if login.issuer is not None:
            if issuer.name == login.issuer:
                return issuer
        elif identity.entra and issuer.entra:
            if issuer.entra.authority.rstrip("/") == identity.entra.authority.rstrip("/"):
                return issuer
        elif identity.oauth and issuer.oidc and issuer.oidc.issuer == identity.oauth.issuer:
            return issuer
    if login.issuer is None and identity.oauth and identity.oauth.issuer is None:
        providers = [issuer for issuer in config.issuers if issuer.oidc]
        return providers[0] if len(providers) == 1 else None  # whose else would the tokenUrl be?
    return None


def logins_fit(config: Attache) -> Iterator[tuple[Path, str]]:
    """A login names an identity, and an issuer whose tokens we accept."""
    identities = {item.name: item for item in config.identities}
    for path, login in written(config):
        identity = identities.get(login.identity)
        if identity is None:
            known = ", ".join(sorted(identities))
            remedy = f"write one of {known}, or add it" if known else "add it to identities"
            yield (*path, "identity"), f"identity '{login.identity}' does not exist; {remedy}"
            continue
        issuer = issuer_of(config, login, identity)
        if issuer is None:
            wanted = "entra with its authority" if identity.entra else "oidc with its issuer"
            yield (
                path,
                f"no issuer fits identity '{login.identity}', so nobody could verify who signed "
                f"in; add one of kind {wanted} to issuers, or write login.issuer",
            )
        elif (identity.entra is None) != (issuer.entra is None) or not (
            issuer.entra or (issuer.oidc and not issuer.oidc.issuer.startswith("urn:"))
        ):
            yield (
                (*path, "issuer"),
                f"'{issuer.name}' is of a kind at which '{login.identity}' cannot sign people in; "
                "an entra identity needs an entra issuer, an oauth identity an oidc one",
            )
        if login.tenant and not identity.entra:
            yield (*path, "tenant"), "tenant is for Entra; remove it"
        if config.issuers and issuer and issuer.entra and not login.scopes:
            yield (
                (*path, "scopes"),
                "without scopes Entra gives a token that only Microsoft Graph may read; write a "
                "scope of this gateway's own, like api://gateway/access",
            )


def sessions_are_wanted(config: Attache) -> Iterator[tuple[Path, str]]:
    """A `sessions` section without a login was written for a login that is not there."""
    if config.sessions is not None and not any(written(config)):
        yield ("sessions",), "nobody signs in here; write login on a route, or remove sessions"
