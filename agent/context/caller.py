"""What is remembered of an allowed inbound request, for the calls that it causes."""

from __future__ import annotations

from typing import NamedTuple

from agent.identity.principal import Verified


class Caller(NamedTuple):
    """One allowed inbound request: who came (None on an anonymous route), and under which ids.

    `txn` is the transaction id, unchanged along the chain of calls; `trace_id` is 32 hex digits;
    `expires_at` is in UTC seconds, never beyond the token's own expiry. `given` is the SHA-256 of
    the bearer token that the application saw, empty where it saw none; `transaction` is the
    Txn-Token that came with that token and agreed with it. `claims` is the challenge
    that one call answers (`agent.challenge`), empty for the others.
    """

    verified: Verified | None
    handle: str
    txn: str
    request_id: str
    trace_id: str
    expires_at: float
    given: bytes = b""
    claims: str = ""
    transaction: Verified | None = None
