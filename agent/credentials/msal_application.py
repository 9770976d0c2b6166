"""How is msal set up so that it keeps nothing and goes nowhere else (ENTRA.md §3)?

msal's own caches are switched off: its token cache mixes sessions and grows without bound, its
throttle lets one user's 429 block the others. Ours stands in front (`agent.credentials.cache`).
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import msal
from msal.authority import WELL_KNOWN_AUTHORITY_HOSTS
from msal.exceptions import MsalError

from agent.credentials.wire import Wire

__all__ = ["MsalError", "application"]

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_CIAM = ".ciamlogin.com"  # its issuer has the tenant id for the name (ENTRA.md §1)


class _Forgetful(dict[str, Any]):
    """msal's http cache that keeps nothing: no 429 and no 400 of one user meets another."""

    def __setitem__(self, key: str, value: Any) -> None:
        return


class _NoTokens(msal.TokenCache):  # type: ignore[misc]
    """msal's token cache that keeps nothing; msal also logs what it adds."""

    def add(self, event: dict[str, Any], now: float | None = None) -> None:
        return


def application(client_id: str, credential: Any, authority: str, tenant: str, wire: Wire) -> Any:
    """Return msal's client, or why its discovery is not to be trusted; *credential* as msal has it.

    *authority* is without the tenant. Raises what msal and *wire* raise.
    """
    client = msal.ConfidentialClientApplication(
        client_id,
        client_credential=credential,
        authority=f"{authority}/{tenant}",
        instance_discovery=False,  # else msal asks the public cloud about a sovereign one
        azure_region=False,  # else MSAL_FORCE_REGION would send our secret elsewhere
        exclude_scopes=["offline_access"],  # no refresh token: nobody here would use it
        http_client=wire,
        http_cache=_Forgetful(),
        token_cache=_NoTokens(),
    )
    return _elsewhere(client.authority, authority, tenant) or client


def _elsewhere(found: Any, authority: str, tenant: str) -> str:
    """Why discovery led to another server or tenant than the configured one; empty if it did not.

    Our secret and the user's token go to no host that the operator did not name (SECURITY.md 32).
    """
    wanted, got = urlsplit(authority), urlsplit(str(found.token_endpoint))
    clouds = wanted.hostname in WELL_KNOWN_AUTHORITY_HOSTS
    if got.netloc != wanted.netloc and not (clouds and got.hostname in WELL_KNOWN_AUTHORITY_HOSTS):
        return "names a token endpoint on another host in its discovery document"
    issuer = urlsplit(str(getattr(found, "_issuer", "") or "")).hostname or ""
    ciam = issuer.endswith(_CIAM) and (wanted.hostname or "").endswith(_CIAM)
    if (
        issuer != wanted.hostname
        and not ciam
        and not (clouds and issuer in WELL_KNOWN_AUTHORITY_HOSTS)
    ):
        return "names an issuer on another host in its discovery document"
    if _GUID.fullmatch(tenant.lower()) and found.tenant.lower() != tenant.lower():
        return "names another tenant's token endpoint in its discovery document"
    return ""
