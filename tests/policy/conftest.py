from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from agent.identity.principal import IssuerKind, Kind, Principal


@pytest.fixture(scope="session")
def anna() -> Callable[..., Principal]:
    """Makes the user Anna, with whatever is to be different."""
    base = Principal(
        kind=Kind.USER,
        subject="anna",
        tenant="t1",
        issuer="https://login.example/t1/v2.0",
        issuer_name="entra",
        issuer_kind=IssuerKind.ENTRA,
        client="web",
        scopes=frozenset({"read"}),
        roles=frozenset({"Editor"}),
        expires_at=2000.0,
        claims={},
    )
    return lambda **different: replace(base, **different)
