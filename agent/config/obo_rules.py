"""Can this be done On-Behalf-Of a user? Rules between a destination, its identity and issuers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from agent.config.attache import Attache

Problem = tuple[tuple[str | int, ...], str]

_B2C = (
    "B2C has no On-Behalf-Of; use internal (a token minted here that names the user), "
    "clientCredentials (the application's own), or forward inside one suite"
)


def on_behalf_of_fits(config: Attache) -> Iterator[Problem]:
    """On-Behalf-Of is Entra's, for Entra's users, by an app registration (ENTRA.md §2)."""
    identities = {item.name: item for item in config.identities}
    for index, destination in enumerate(config.destinations):
        asked = destination.credential.obo
        if asked is None or asked.identity not in identities:
            continue
        path = ("destinations", index, "credential", "obo")
        identity = identities[asked.identity].entra
        if identity is None:
            yield (
                (*path, "identity"),
                "On-Behalf-Of needs an entra identity; name one that is, or use tokenExchange",
            )
        elif of_b2c(identity.authority):
            yield (*path, "identity"), f"'{asked.identity}' is a client of B2C, and {_B2C}"
        if any(issuer.entra and not of_b2c(issuer.entra.authority) for issuer in config.issuers):
            continue
        b2c = any(
            issuer.b2c or (issuer.entra and of_b2c(issuer.entra.authority))
            for issuer in config.issuers
        )
        yield (
            path,
            _B2C if b2c else "On-Behalf-Of needs an entra issuer whose users it acts for; add it",
        )


def of_b2c(authority: str) -> bool:
    """Whether *authority* is Azure AD B2C's, whose token endpoints know no On-Behalf-Of.

    >>> of_b2c("https://contoso.b2clogin.com"), of_b2c("https://login.microsoftonline.com")
    (True, False)
    """
    parts = urlsplit(authority)
    return (parts.hostname or "").endswith(".b2clogin.com") or parts.path.startswith("/tfp/")
