from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from agent.context.caller import Caller
from agent.identity.principal import IssuerKind, Kind, Principal, RawToken, Verified


@pytest.fixture(scope="session")
def verified() -> Callable[..., Verified]:
    """Makes a verified token of a user, by name; a second `token` of the same user on demand."""

    def make(name: str, token: str = "", **different: Any) -> Verified:
        token = token or f"token-of-{name}"
        principal: dict[str, Any] = {
            "kind": Kind.USER,
            "subject": name,
            "tenant": "t1",
            "issuer": "https://login.example/t1/v2.0",
            "issuer_name": "entra",
            "issuer_kind": IssuerKind.ENTRA,
            "client": "web",
            "scopes": frozenset({"read"}),
            "roles": frozenset(),
            "expires_at": 2000.0,
            "claims": {},
        }
        return Verified(
            RawToken(token),
            hashlib.sha256(token.encode()).digest(),
            Principal(**principal | different),
            "k1",
            0.0,
        )

    return make


@pytest.fixture(scope="session")
def caller(verified: Callable[..., Verified]) -> Callable[..., Caller]:
    """Makes one inbound request: `caller("anna", 1)` has ids that end in 1; "" is anonymous."""

    def make(name: str, number: int, trace: str = "", **different: Any) -> Caller:
        proof = verified(name) if name else None
        request: dict[str, Any] = {
            "verified": proof,
            "handle": f"handle-{number:025d}",
            "txn": f"txn-{number}",
            "request_id": f"request-{number}",
            "trace_id": trace or f"{number:032x}",
            "expires_at": 2000.0,
            "given": proof.token_hash if proof else b"",
        }
        return Caller(**request | different)

    return make
