"""What `attache explain --outbound` says of a call, and that it agrees with the pipeline."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CONFIG = """
workload: {name: task-api, namespace: shop}
listeners: {inbound: {application: "127.0.0.1:8000"}, outbound: {}}
issuers:
  - name: entra
    entra: {tenants: [11111111-1111-1111-1111-111111111111], audiences: ["api://task-api"]}
routes: [{path: /**}]
identities:
  - name: me
    oauth: {tokenUrl: "https://sts.example/token", clientId: c, secretFile: /secrets/me}
internalTokens: {issuer: "https://shop", trustDomain: shop, keys: /secrets/signing}
destinations:
  - {name: user-only, hosts: ["billing.shop"], credential: {internal: {audience: billing}}}
  - name: either
    hosts: ["orders.shop:8001"]
    credential: {internal: {audience: orders, subject: either}}
  - name: ours
    hosts: ["audit.shop:8002"]
    credential: {clientCredentials: {identity: me, scopes: [audit]}}
  - {name: bare, hosts: ["time.shop"], credential: none}
"""


@pytest.fixture
def ask(tmp_path: Path, attache: Callable[..., Any]) -> Callable[..., tuple[int, Any]]:
    (tmp_path / "a.yaml").write_text(CONFIG)

    def run(url: str, speaker: str = "user", *more: str) -> tuple[int, Any]:
        head = ("explain", "--config", tmp_path / "a.yaml", "--outbound", "--as", speaker)
        ran = attache(*head, "--json", *more, "GET", url)
        return ran.code, json.loads(ran.out) if ran.out else ran.err

    return run


ROWS = [
    ("http://billing.shop/x", "user", 0, None),
    ("http://billing.shop:80/x", "user", 0, None),
    ("http://billing.shop/x", "app", 1, "user_required"),
    ("http://billing.shop/x", "nobody", 1, "no_subject"),
    ("http://orders.shop:8001/", "nobody", 0, None),
    ("http://orders.shop/", "user", 1, "destination_not_allowed"),
    ("http://audit.shop:8002", "nobody", 0, None),
    ("http://time.shop/", "nobody", 0, None),
    ("http://evil.example/", "user", 1, "destination_not_allowed"),
]


@pytest.mark.must(25, 28)
@pytest.mark.parametrize(("url", "speaker", "code", "reason"), ROWS)
def test_a_call_is_explained_by_its_host_and_by_who_stands_behind_it(
    ask: Callable[..., Any], url: str, speaker: str, code: int, reason: str | None
) -> None:
    got, document = ask(url, speaker)
    assert (got, document["reason"]) == (code, reason)


def test_the_credential_is_named_with_what_it_asks_for(ask: Callable[..., Any]) -> None:
    _, document = ask("http://audit.shop:8002/log", "nobody")
    (step,) = [each for each in document["steps"] if each["step"] == "credential"]
    assert "clientCredentials" in step["sentence"]
    assert step["more"] == ["identity: me", "scopes: audit"]


MISUSED = [
    ("https://billing.shop/", (), "in plain http"),
    ("billing.shop", (), "write http://host:port/path"),
    ("http://billing.shop/", ("--online",), "remove that option"),
]


@pytest.mark.parametrize(("url", "more", "remedy"), MISUSED)
def test_what_is_no_call_is_told_with_its_remedy(
    ask: Callable[..., Any], url: str, more: tuple[str, ...], remedy: str
) -> None:
    code, said = ask(url, "user", *more)
    assert (code, remedy in said) == (2, True)
