"""How is the TokenService asked by gRPC? Messages of protos/ in, answers and statuses out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from google.protobuf.message import DecodeError

from agent import challenge
from agent.context.carriers import HANDLE_HEADER
from agent.credentials.transaction import HEADER as TXN_TOKEN
from agent.envoy.lean.loop import Informed, Loop
from agent.envoy.lean.messages import Failed, Status
from agent.envoy.pool import CheckPool
from agent.envoy.unix import Claim, listen
from agent.errors import Denial
from agent.flow.headers import CORRELATION, REQUEST_ID
from agent.flow.problem import grpc_answer
from agent.flow.tokens import Ask
from agent.identity.principal import Kind
from agent.judge import Judge
from agent.token_service.claims import plain
from agent.token_service.peers import Peers
from agent.token_service.token_service_pb2 import (
    GetTokenRequest,
    GetTokenResponse,
    ValidateRequest,
    ValidateResponse,
)

SERVICE = "attache.tokens.v1.TokenService"
GET_TOKEN = f"/{SERVICE}/GetToken"
VALIDATE = f"/{SERVICE}/Validate"
LONGEST = 10.0  # seconds: as long as a token endpoint may take
MARGIN = 0.1

# Of the headers and metadata these are read, and no others.
READ = frozenset(
    {"authorization", "baggage", "tracestate", "traceparent"}
    | {HANDLE_HEADER, REQUEST_ID, CORRELATION, TXN_TOKEN, challenge.HEADER}
)
# gRPC's own mapping between HTTP and gRPC statuses, the way back; and 504, which is ours.
_STATUS: Mapping[int, Status] = {
    400: Status.INVALID_ARGUMENT,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.NOT_FOUND,
    429: Status.UNAVAILABLE,
    500: Status.INTERNAL,
    503: Status.UNAVAILABLE,
}


class RpcServer:
    """Serves both methods on the Unix socket *path* to *peers*; raises `SocketInUse`, `OSError`."""

    def __init__(self, path: Path, peers: Peers, judge: Judge, pool: CheckPool) -> None:
        def begin(place: Path) -> None:
            self._loop = Loop(
                listen(place), methods(judge), pool, pool.never_wait, peers.admit,
                name="tokenService.socket",
            )  # fmt: skip

        self._claim = Claim(path, begin, peers.mode, "tokenService.socket")
        self._loop.start()

    def stop(self, grace: float) -> None:
        """Leave the path, answer what is under way for up to *grace* seconds, end."""
        self._claim.give_up()
        self._loop.stop(grace)


def methods(judge: Judge) -> dict[str, Informed]:
    """The service around a judge, bytes in and bytes out."""

    def get_token(message: bytes, remaining: float | None, metadata: Mapping[str, str]) -> bytes:
        asked = _read(GetTokenRequest, message)
        headers = {name: metadata[name] for name in READ & metadata.keys()}
        headers |= _lower(asked.headers)
        ask = Ask(asked.destination, headers, "POST", GET_TOKEN, asked.as_application)
        injection, facts = judge.hand_out(ask, patience(remaining))
        if isinstance(injection, Denial):
            raise _failed(injection, facts.txn, judge)
        name, value = injection.headers[0]  # a Txn-Token beside it is for calls through Envoy
        bare = value.partition(" ")[2] if name == "authorization" else ""
        encoded: bytes = GetTokenResponse(
            header=name,
            value=value,
            token=bare or value,
            expires_at=int(injection.expires_at),
            acts_as=injection.acts_as or Kind.APP,
            correlation_id=facts.txn,
        ).SerializeToString()
        return encoded

    def validate(message: bytes, remaining: float | None, metadata: Mapping[str, str]) -> bytes:
        said = _read(ValidateRequest, message).authorization
        headers = {name: metadata[name] for name in READ & metadata.keys()}
        if said:
            headers["authorization"] = said
        shown = judge.validate(Ask("", headers, "POST", VALIDATE), patience(remaining))
        if isinstance(shown.outcome, Denial):
            raise _failed(shown.outcome, shown.facts.txn, judge)
        principal = shown.outcome.principal
        encoded: bytes = ValidateResponse(
            kind=principal.kind,
            subject=principal.subject,
            tenant=principal.tenant,
            client=principal.client,
            issuer=principal.issuer,
            scopes=sorted(principal.scopes),
            roles=sorted(principal.roles),
            expires_at=int(principal.expires_at),
            claims=json.dumps(plain(shown.claims)),
            correlation_id=shown.facts.txn,
        ).SerializeToString()
        return encoded

    return {GET_TOKEN: Informed(get_token), VALIDATE: Informed(validate)}


def patience(remaining: float | None) -> float:
    """How many seconds an answer may take whose asker waits *remaining* (None: for ever)."""
    return LONGEST if remaining is None else max(0.0, min(LONGEST, remaining - MARGIN))


def _read(kind: type, message: bytes):  # type: ignore[no-untyped-def]  # a message has no type
    try:
        return kind.FromString(message)  # type: ignore[attr-defined]
    except DecodeError:
        raise Failed(Status.INVALID_ARGUMENT, "this is not the method's message") from None


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that are read; a name that is written twice is a list, as in HTTP."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        lower = name.lower()
        if lower in READ:
            found[lower] = f"{found[lower]},{value}" if lower in found else value
    return found


def _failed(denial: Denial, correlation_id: str, judge: Judge) -> Failed:
    answer = grpc_answer(denial, correlation_id, judge.pipelines.challenger)
    return Failed(_STATUS.get(answer.status, Status.UNKNOWN), answer.body, answer.headers)
