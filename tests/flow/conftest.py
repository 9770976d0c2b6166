from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from agent.flow.request import Direction, Request
from agent.identity.principal import IssuerKind, Kind, Principal, RawToken, Verified


@pytest.fixture(scope="session")
def principal() -> Callable[..., Principal]:
    """Makes the user Anna, with whatever is to be different."""

    def make(**different: Any) -> Principal:
        anna: dict[str, Any] = {
            "kind": Kind.USER,
            "subject": "anna-oid",
            "tenant": "t1",
            "issuer": "https://login.example/t1/v2.0",
            "issuer_name": "entra",
            "issuer_kind": IssuerKind.ENTRA,
            "client": "web",
            "scopes": frozenset({"read"}),
            "roles": frozenset({"Editor"}),
            "expires_at": 2000.0,
            "claims": {"name": "Anna", "email": "anna@example.com"},
        }
        return Principal(**anna | different)

    return make


@pytest.fixture(scope="session")
def verified(principal: Callable[..., Principal]) -> Callable[..., Verified]:
    """Makes a verified token of Anna's."""

    def make(token: str = "anna.s.token", **different: Any) -> Verified:
        digest = hashlib.sha256(token.encode()).digest()
        return Verified(RawToken(token), digest, principal(**different), "k1", 0.0)

    return make


@pytest.fixture(scope="session")
def asks() -> Callable[..., Request]:
    """Makes an inbound GET of /api/tasks; keywords change it, `headers` as a mapping."""

    def make(headers: dict[str, str] | None = None, **different: Any) -> Request:
        request: dict[str, Any] = {
            "direction": Direction.INBOUND,
            "method": "GET",
            "target": "/api/tasks",
            "host": "shop.example",
            "headers": headers or {},
        }
        return Request(**request | different)

    return make


@pytest.fixture
def random() -> Callable[[int], bytes]:
    """Bytes that differ from draw to draw, as randomness does, and are the same in every run."""
    draws = itertools.count(1)
    return lambda size: hashlib.shake_256(str(next(draws)).encode()).digest(size)
