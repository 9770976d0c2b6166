"""Where a Txn-Token may be sent and accepted, and what is refused with a remedy."""

from __future__ import annotations

import pytest

from agent.config.attache import Attache
from agent.config.loading import ConfigInvalid, parse

TEXT = """
workload: {{name: orders, namespace: shop}}
listeners: {{inbound: {{application: "127.0.0.1:1", edge: {edge}}}, outbound: {{}}}}
issuers:
  - name: mesh
    internal:
      trustDomain: {domain}
      issuers: ["https://gateway.shop.internal"]
      audience: orders
      jwks: {{file: /trust}}
      {accepts}
routes: [{{path: "/**"}}]
destinations:
  - name: billing
    hosts: [billing.shop]
    credential: {{internal: {{audience: billing, txnToken: {sends}}}}}
internalTokens: {{issuer: "https://orders.shop.internal", trustDomain: shop.internal, keys: /keys}}
"""


def read(
    accepts: str = "txnToken: accept",
    sends: str = "{scopes: [orders.place]}",
    edge: str = "false",
    domain: str = "shop.internal",
) -> Attache:
    text = TEXT.format(accepts=accepts, sends=sends, edge=edge, domain=domain)
    return parse(text.encode(), "attache.yaml")


def test_it_is_off_unless_it_is_said() -> None:
    config = read(accepts="", sends="null")
    assert config.issuers[0].internal
    assert config.issuers[0].internal.txn_token == "ignore"
    assert config.destinations[0].credential.internal
    assert config.destinations[0].credential.internal.txn_token is None


@pytest.mark.parametrize("rule", ["accept", "require", "ignore"])
def test_what_is_said_is_read(rule: str) -> None:
    config = read(accepts=f"txnToken: {rule}", sends="{scopes: [a, b], claims: [name]}")
    sent = config.destinations[0].credential.internal
    assert sent
    assert sent.txn_token
    assert (sent.txn_token.scopes, sent.txn_token.claims) == (("a", "b"), ("name",))


BAD = [
    ({"accepts": "txnToken: maybe"}, "txnToken", "accept"),
    ({"sends": "{}"}, "scopes", "missing"),
    ({"sends": "{scopes: []}"}, "scopes", "write at least one"),
    ({"edge": "true"}, "txnToken", "refused at the edge. Remedy: remove txnToken"),
    ({"domain": "other.internal"}, "txnToken", "its trust domain is not ours"),
]


@pytest.mark.parametrize(("said", "path", "words"), BAD)
def test_what_cannot_be_meant_is_refused(said: dict[str, str], path: str, words: str) -> None:
    with pytest.raises(ConfigInvalid) as found:
        read(**said)
    assert path in str(found.value)
    assert words in str(found.value)


def test_at_the_edge_transactions_begin() -> None:
    assert read(accepts="", edge="true").destinations[0].credential.internal
