"""Which mistake in somebody's Envoy configuration would explain this denial?

Envoys that we configure ourselves make none of these (ENVOY.md). A sentence names the mistake and
what to write; the request is denied in any case.
"""

from __future__ import annotations

from collections.abc import Container

from agent.errors import Denial, Reason
from agent.flow.request import Direction, Request

# What Envoy shows of every request, unless allowed_headers keeps it back.
_ALWAYS_SHOWN = ":path"
NEVER_A_TOKEN = 20  # requests without a token before that is worth a line

_LIST = (
    "If the filter sets allowed_headers, list every header that `attache envoy snippet` lists, and "
    "write headers: listed into the route's context_extensions"
)


def hides_headers(request: Request) -> bool:
    """Whether Envoy keeps headers back and did not say that those which we read are shown."""
    return not request.headers_listed and _ALWAYS_SHOWN not in request.headers


def mistake(request: Request, denial: Denial, destinations: Container[str]) -> str:
    """Return what is likely to be wrong, or nothing. Pure.

    *destinations* are the names that the configuration has.
    """
    if request.direction is Direction.OUTBOUND and denial.reason is Reason.DESTINATION_NOT_ALLOWED:
        return _of_destination(request, destinations)
    if denial.reason is Reason.MISSING_TOKEN and hides_headers(request):
        return (
            "a request without authorization was refused, and Envoy shows us some headers only. "
            f"{_LIST}"
        )
    if denial.reason is Reason.NO_SUBJECT and hides_headers(request):
        return (
            "a call was refused because nothing said whose request caused it, and Envoy shows us "
            f"some headers only. {_LIST}"
        )
    return ""


def _of_destination(request: Request, destinations: Container[str]) -> str:
    if request.destination and request.destination not in destinations:
        return (
            f"the route's context_extensions name the destination '{request.destination}', which "
            "the configuration does not have. Write one of destinations[].name there, or add it"
        )
    if not request.destination and not request.unmatched:
        return (
            "an outbound route names no destination. Write destination: NAME, one of "
            "destinations[].name, into its context_extensions"
        )
    return ""


def never_a_token(count: int) -> str:
    """What to say when *count* requests were refused and none ever carried a token."""
    return (
        f"{count} requests were refused for want of a token, and none has ever carried one. If "
        "callers do send it, something before us takes it away: allowed_headers or "
        "disallowed_headers of ext_authz, or an earlier filter (jwt_authn without forward: true)"
    )
