"""What did Envoy ask, and how is it told? CheckRequest → `Request`, `Decision` → CheckResponse.

An empty CheckResponse means ALLOW to Envoy, so responses are built in this one place, and an allow
only from an `Allow` (ENVOY.md, measured; SECURITY.md 17).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.service.auth.v3.external_auth_pb2 import (
    CheckRequest,
    CheckResponse,
    DeniedHttpResponse,
)
from envoy.type.v3.http_status_pb2 import HttpStatus
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

from agent.envoy import wire
from agent.envoy.mistakes import hides_headers
from agent.flow.decision import Allow, Headers, Part, Redirect
from agent.flow.problem import Answer
from agent.flow.request import Direction, Request

# google.rpc.Code
PERMISSION_DENIED = 7
UNAUTHENTICATED = 16

_OVERWRITE = HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*", re.ASCII)
# Pseudo-headers and host are obeyed even with validate_mutations (ENVOY.md, measured); the others
# are the framing and the connection (RFC 9110 §7.6.1), which are Envoy's.
_NEVER = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "keep-alive", "upgrade", "te"}
)
# Names that every allow writes; the others are looked at each time.
_WRITABLE = frozenset(
    {"authorization", "baggage", "traceparent", "tracestate", "x-attache-context"}
    | {"x-correlation-id", "x-request-id"}
)
_BAD_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_DIRECTIONS = {direction.value: direction for direction in Direction}


class NotARequest(ValueError):
    """Envoy's question cannot be read, or does not say what we need to know."""


def read(message: bytes) -> Request:
    """Decode a CheckRequest; raise `NotARequest` with a sentence for the log."""
    try:
        attributes = CheckRequest.FromString(message).attributes
    except DecodeError:
        raise NotARequest("Envoy sent bytes that are not a CheckRequest") from None
    said = attributes.context_extensions
    direction = _DIRECTIONS.get(said["direction"]) if "direction" in said else None
    if direction is None:
        raise NotARequest(_no_direction(said))
    http = attributes.request.http
    method, body = http.method, http.body
    if not method:
        raise NotARequest(
            "a Check without an HTTP request came in. Use the HTTP filter "
            "envoy.filters.http.ext_authz, not the network filter of the same name"
        )
    if (body or http.raw_body) and said.get("body", "") != "shown":
        raise NotARequest(
            "Envoy sent a request's body along. Remove with_request_body from ext_authz: it holds "
            "streams up, and no decision of ours asks for a body"
        )
    unmatched = said["unmatched"] if "unmatched" in said else ""  # noqa: SIM401
    # In its order, and no look-up of what is not there: half of what it takes by name and `get`.
    request = Request(
        direction,
        method,
        http.path,
        http.host,
        http.headers or _from_header_map(http.header_map.headers),
        said["destination"] if "destination" in said else "",  # noqa: SIM401
        unmatched == "passthrough",
        "underscores" in said and said["underscores"] == "refused",
        "preflight" in said and said["preflight"] == "answered",
        "headers" in said and said["headers"] == "listed",
        bool(unmatched),
        body,
    )
    if request.passthrough and hides_headers(request):
        # A token of ours that we do not see would go to a host that nobody named.
        raise NotARequest(
            "a passthrough route keeps headers back from us. List every header that `attache envoy "
            "snippet` lists in allowed_headers, and write headers: listed into the route's "
            "context_extensions"
        )
    return request


def _no_direction(extensions: Mapping[str, str]) -> str:
    if "direction" in extensions:
        return (
            f"the route's context_extensions say direction '{extensions['direction'][:32]}'. Write "
            "inbound or outbound there"
        )
    return (
        "the route names no direction: set ext_authz check_settings.context_extensions "
        "{direction: inbound} or {direction: outbound, destination: NAME} on the route (per "
        "route, virtual host or weighted cluster: typed_per_filter_config)"
    )


def _from_header_map(headers: list[HeaderValue]) -> dict[str, str]:
    """With encode_raw_headers the values come as bytes, and equal names as separate entries."""
    found: dict[str, str] = {}
    for header in headers:
        value = header.value or header.raw_value.decode("latin-1")
        name = header.key.lower()
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def allow(decision: Allow, correlation_id: str, response: Headers = ()) -> bytes:
    """Encode an allow. A header that Envoy would obey wrongly is a bug and raises.

    *response* are headers for the caller, which join what the application answers.
    """
    names, values, remove, txn, shared = decision
    told: tuple[str, ...] = ("x-correlation-id",)
    if response:
        told = (*told, *[name for name, _ in response])
        values = (*values, correlation_id, *[value for _, value in response])
    else:
        values = (*values, correlation_id)
    if txn:
        values = (*values, txn)
    text = "".join(values)
    if not (text.isascii() and text.isprintable()):
        _refuse_bad_values((*names, *told, "txn"), values)
    around = _shared(names, remove, shared)
    return around + wire.filled(names, remove, told, ("txn",) if txn else (), values)


@lru_cache(maxsize=2048)
def _shared(written: tuple[str, ...], remove: tuple[str, ...], parts: tuple[Part, ...]) -> bytes:
    """What many allows share, once it is certain that it goes with these names of a request."""
    _refuse_bad_names(written, remove)
    for part in parts:
        if not part.encoded:
            part.written, part.removed = _names(tuple([n for n, _ in part.set]), part.remove)
            part.encoded = _encoded(part)
        if not (part.removed.isdisjoint(written) and part.written.isdisjoint(remove)):
            raise ValueError("a header is set by one part of the answer and removed by another")
    return wire.STATUS_OK + b"".join(part.encoded for part in parts)


@lru_cache(maxsize=256)
def _names(
    written: tuple[str, ...], removed: tuple[str, ...]
) -> tuple[frozenset[str], frozenset[str]]:
    """The names of a part, once it is certain that they may stand together."""
    _refuse_bad_names(written, removed)
    return frozenset(written), frozenset(removed)


def _refuse_bad_names(written: Collection[str], remove: Collection[str]) -> None:
    if twice := sorted(set(remove) & set(written)):
        raise ValueError(f"{twice} are set and removed; Envoy would remove them")
    for name in set(written) - _WRITABLE:
        _refuse_bad_name(name)


def _encoded(part: Part) -> bytes:
    """A part whose names were looked at."""
    text = "".join([value for _, value in part.set])
    if not (text.isascii() and text.isprintable()):
        for name, value in part.set:
            _refuse_bad_value(name, value)
    metadata = wire.metadata(part.metadata) if part.metadata else b""
    return wire.ok_response(part.set, part.remove) + metadata


def _refuse_bad_values(names: Iterable[str], values: Iterable[str]) -> None:
    for name, value in zip(names, values, strict=False):  # a txn is not always told
        _refuse_bad_value(name, value)


def deny(answer: Answer, response: Headers = ()) -> bytes:
    """Encode a denial, with further headers for the caller."""
    if not 400 <= answer.status <= 599:
        raise ValueError(f"status {answer.status} would reach the caller as a success")
    encoded: bytes = CheckResponse(
        status=Status(code=UNAUTHENTICATED if answer.status == 401 else PERMISSION_DENIED),
        denied_response=DeniedHttpResponse(
            status=HttpStatus(code=answer.status),
            headers=[_option(name, value) for name, value in (*answer.headers, *response)],
            body=answer.body,
        ),
    ).SerializeToString()
    return encoded


def redirect(to: Redirect, correlation_id: str, response: Headers = ()) -> bytes:
    """Encode a redirect: a denial to Envoy, with further headers for the browser."""
    if to.status not in (302, 303):
        raise ValueError(f"status {to.status} would send a form on")  # RFC 9700 §4.12
    headers = (
        ("location", to.location),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-correlation-id", correlation_id),
        *response,
    )
    encoded: bytes = CheckResponse(
        status=Status(code=UNAUTHENTICATED),
        denied_response=DeniedHttpResponse(
            status=HttpStatus(code=to.status),
            headers=[_option(name, value) for name, value in headers],
        ),
    ).SerializeToString()
    return encoded


def _option(name: str, value: str) -> HeaderValueOption:
    """Overwriting, also for several of one name: in a denial Envoy writes each of them, and drops
    those that should be appended [M].
    """
    _refuse_bad_name(name)
    _refuse_bad_value(name, value)
    return HeaderValueOption(
        header=HeaderValue(key=name, value=value), append_action=_OVERWRITE, append={"value": False}
    )


def _refuse_bad_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name in _NEVER:
        raise ValueError(f"'{name}' is not a header that we may write")


def _refuse_bad_value(name: str, value: str) -> None:
    if _BAD_VALUE.search(value):
        raise ValueError(f"the value for '{name}' has a control character")
