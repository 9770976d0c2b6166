"""What does a client of the Microsoft Entra SDK sidecar ask of us? Pure: request in, meaning out.

The interface is Microsoft's public one: learn.microsoft.com/entra/msidweb/agent-id-sdk/endpoints,
and the OpenAPI document in AzureAD/microsoft-identity-web, src/Microsoft.Identity.Web.Sidecar. What
a caller could override there is the configuration's here: a parameter that says what it says anyway
is taken, every other one is refused, never ignored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

from agent.config.fields import Address
from agent.errors import Denial, Reason
from agent.flow.headers import CORRELATION
from agent.flow.tokens import Ask
from agent.identity.claims import transaction

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9.]{0,63}", re.ASCII)
_MOST = 64  # parameters of one request
# Fetch Metadata (W3C): a browser writes all of them. Node's fetch writes the mode alone, as `cors`.
_BROWSER = ("origin", "sec-fetch-site", "sec-fetch-dest", "sec-fetch-user")


@dataclass(frozen=True, slots=True)
class Offer:
    """What the configuration says of a destination that a parameter might repeat."""

    scopes: frozenset[str]
    app: bool
    header: str = "authorization"


class Validation(NamedTuple):
    """`GET /Validate`."""

    ask: Ask


class Health(NamedTuple):
    """`GET /healthz`."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A request that asks for nothing that we decide on. `allow`: the methods that are answered."""

    status: int
    title: str
    detail: str
    allow: str = ""


def read(
    method: str,
    target: str,
    headers: Mapping[str, str],
    hosts: Sequence[str],
    offers: Mapping[str, Offer],
) -> Ask | Validation | Health | Refused:
    """What a request means. Header names are lower-case; *hosts* are its Host headers."""
    if stranger := _stranger(headers, hosts):
        return stranger
    path, _, query = target.partition("?")
    parts = path.split("/")[1:] or [""]
    place = parts[0].lower()  # ASP.NET's routes ignore case
    if place in ("downstreamapi", "downstreamapiunauthenticated"):
        return Refused(
            501,
            "Not Implemented",
            "no call is made in the application's name: call the destination through Envoy, or get "
            "its header from /AuthorizationHeader",
        )
    known = (place in _HEADERS and len(parts) == 2) or (place in _ALONE and len(parts) == 1)
    if not known:
        return Refused(404, "Not Found", _PLACES)
    if method != "GET":
        return Refused(405, "Method Not Allowed", "only GET is answered here", allow="GET")
    if place == "healthz":
        return Health()
    if place == "validate":
        return Validation(Ask("", headers, method, "/Validate"))
    try:
        given = parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST, errors="strict")
    except ValueError:
        return Refused(400, "Bad Request", "the query cannot be read")
    return _ask(place, unquote(parts[1]), headers, given, offers)


_HEADERS = {
    "authorizationheader": "/AuthorizationHeader",
    "authorizationheaderunauthenticated": "/AuthorizationHeaderUnauthenticated",
}
_ALONE = ("validate", "healthz")
_PLACES = (
    "there are /AuthorizationHeader/{name}, /AuthorizationHeaderUnauthenticated/{name}, /Validate "
    "and /healthz"
)


def _stranger(headers: Mapping[str, str], hosts: Sequence[str]) -> Refused | None:
    """SECURITY.md 24: a page in a browser is no program of this pod, whatever it calls us."""
    if len(hosts) != 1 or not _loopback(hosts[0]):
        return Refused(403, "Forbidden", "Host must name this machine's loopback, once")
    mode = headers.get("sec-fetch-mode", "cors")
    if mode != "cors" or any(name in headers for name in _BROWSER):
        return Refused(403, "Forbidden", "browsers are not answered here")
    return None


def _loopback(host: str) -> bool:
    try:
        return Address.parse(host.lower(), default_port=80).loopback
    except ValueError:
        return False


def _ask(
    place: str,
    name: str,
    headers: Mapping[str, str],
    given: list[tuple[str, str]],
    offers: Mapping[str, Offer],
) -> Ask:
    # Our names are lower-case, and keys of .NET's configuration, after which clients are written,
    # ignore case.
    name = name.lower() if _NAME.fullmatch(name) else ""
    values: dict[str, list[str]] = {}
    for parameter, value in given:
        values.setdefault(parameter.lower(), []).append(value)
    offer = offers.get(name)
    alone = place == "authorizationheaderunauthenticated"
    refused = _refusal(values, offer, [parameter for parameter, _ in given]) if offer else None
    said = values.get(_CORRELATION_ID, [])
    if len(said) == 1 and transaction(said[0]) and CORRELATION not in headers:
        headers = {**headers, CORRELATION: said[0]}
    return Ask(
        name,
        headers,
        "GET",
        f"{_HEADERS[place]}/{name}",
        as_application=alone,
        needs_caller=not alone,
        refused=refused,
    )


def _refusal(
    values: Mapping[str, list[str]], offer: Offer, written: Sequence[str]
) -> Denial | None:
    if offer.header != "authorization":
        return _refuse(f"the credential travels in {offer.header}; ask by gRPC")
    for parameter, said in values.items():
        rule = _RULES.get(parameter)
        why = rule(said, offer) if rule else _unknown(parameter)
        if why:
            name = next(text for text in written if text.lower() == parameter)
            shown = name if _PARAMETER.fullmatch(name) else "a parameter"
            return _refuse(f"{shown}: {why}")
    return None


def _refuse(why: str) -> Denial:
    return Denial(Reason.DESTINATION_NOT_ALLOWED, why, status=400)


def _scopes(said: list[str], offer: Offer) -> str:
    asked = {scope for value in said for scope in value.split()}
    if asked == offer.scopes:
        return ""
    return "the scopes are those of the configuration; make another destination for others"


def _app_token(said: list[str], offer: Offer) -> str:
    word = said[0].lower() if len(said) == 1 else ""
    if word == "false" or (word == "true" and offer.app):
        return ""
    if word == "true":
        return "this destination is not the application's own; name one whose subject is app"
    return "write true or false, once"


def _refresh(said: list[str], _offer: Offer) -> str:
    if [value.lower() for value in said] == ["false"]:
        return ""
    return "the agent renews its tokens itself, ahead of their end"


def _correlation(said: list[str], _offer: Offer) -> str:
    return "" if len(said) == 1 and transaction(said[0]) else "write one id of letters and digits"


def _unknown(parameter: str) -> str:
    if parameter in ("agentidentity", "agentusername", "agentuserid"):
        return "agent identities are not supported; as whom we speak is in the configuration"
    return "the caller cannot change what the configuration says of this destination"


_CORRELATION_ID = "optionsoverride.acquiretokenoptions.correlationid"
_RULES: Mapping[str, Callable[[list[str], Offer], str]] = {
    "optionsoverride.scopes": _scopes,
    "optionsoverride.requestapptoken": _app_token,
    "optionsoverride.acquiretokenoptions.forcerefresh": _refresh,
    _CORRELATION_ID: _correlation,
}
