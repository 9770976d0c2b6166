"""Do Entra's tokens end at the gateway, and internal ones narrow from hop to hop?"""

from __future__ import annotations

from dataclasses import dataclass

from demo import people
from demo.journeys.asking import ask
from demo.journeys.outcome import Answer, Check, Checks, Claims, Record
from demo.stage import Stage


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the journey found: the user's token and the two internal ones."""

    checks: tuple[Check, ...]
    answer: Answer
    a: Claims
    orders: Claims
    inventory: Claims
    loop: Answer
    refused: Answer
    records: tuple[Record, ...]


def run(stage: Stage) -> Gateway:
    """Zoë looks at an order."""
    checks = Checks()
    zoe = stage.people["zoe"]
    bearer = stage.idp.person(zoe, people.GATEWAY_SCOPE)
    gateway, inventory = stage.pods["gateway"], stage.pods["inventory"]
    answer = ask(gateway, "GET", "/orders/4711", bearer)
    passed = stage.wire.passed(answer.correlation)
    first = passed["orders"].claims if "orders" in passed else {}
    second = passed["inventory"].claims if "inventory" in passed else {}
    records = stage.decisions(answer.correlation, at_least=5)
    checks.equal("gateway → orders → inventory answers", 200, answer.status)
    checks.equal(
        "each hop has its own audience",
        ("orders", "inventory"),
        (first.get("aud"), second.get("aud")),
    )
    scopes = [set(str(c.get("scope", "")).split()) for c in (first, second)]
    checks.equal(
        "scopes only narrow", [{"orders.read", "inventory.read"}, {"inventory.read"}], scopes
    )
    checks.holds(
        "same subject, tenant and transaction",
        f"…{zoe.id[-12:]}, {zoe.tenant[:8]}…, {answer.correlation[:8]}…",
        [[str(c.get(name))[-36:] for name in ("sub", "tid", "txn")] for c in (first, second)],
        first.get("sub")
        and first["sub"] == second.get("sub")
        and zoe.id in first["sub"]
        and first.get("tid") == second.get("tid") == zoe.tenant
        and first.get("txn") == second.get("txn") == answer.correlation,
    )
    checks.equal(
        "the actor chain grows",
        (["shop/gateway"], ["shop/orders", "shop/gateway"]),
        (actors(first), actors(second)),
    )
    checks.holds(
        "no Entra token behind the gateway",
        "issuers gateway and orders.shop.internal",
        [first.get("iss"), second.get("iss")],
        [first.get("iss"), second.get("iss")]
        == ["https://gateway.shop.internal", "https://orders.shop.internal"],
    )
    checks.holds(
        "no token outlives the caller's own",
        f"≤ {bearer.claims['exp']}",
        [first.get("exp"), second.get("exp")],
        second.get("exp", 0) <= bearer.claims["exp"] and second.get("exp", 0) > 0,
    )
    checks.equal(
        "inventory knows the person by name",
        zoe.name,
        ((answer.get("stock") or {}).get("asked_by") or {}).get("name"),
    )
    loop = ask(gateway, "GET", "/orders/4711/parcel", bearer)
    checks.equal("orders calls back into the gateway", "403 call_loop", loop.shown())
    refused = ask(inventory, "GET", "/stock/teapot", bearer)
    checks.equal(
        "inventory refuses the user's Entra token", "401 untrusted_issuer", refused.shown()
    )
    return Gateway(
        tuple(checks.made),
        answer,
        bearer.claims,
        first,
        second,
        loop,
        refused,
        tuple(records),
    )


def actors(claims: Claims) -> list[str]:
    """The actor chain of an internal token, latest first (RFC 8693 §4.1)."""
    chain, act = [], claims.get("act")
    while isinstance(act, dict):
        chain.append(str(act.get("sub")))
        act = act.get("act")
    return chain
