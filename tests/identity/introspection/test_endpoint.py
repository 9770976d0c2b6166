"""A real endpoint over real TLS, and its faults (RFC 7662, SECURITY.md 32)."""

from __future__ import annotations

import base64
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from agent.config.issuers import Introspection
from agent.identity.connection import MAX_BODY, Limits
from agent.identity.introspection.answer import Active, Inactive, Trouble
from agent.identity.introspection.endpoint import Endpoint
from agent.identity.principal import RawToken

TOKEN = RawToken("opaque~canary")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("p&ss word/é\n")
    return file


@pytest.fixture
def make(site: Any, secret: Path) -> Any:
    def build(limits: Limits | None = None, **members: Any) -> Endpoint:
        config = {
            "url": f"{site.origin}/introspect",
            "caFile": str(site.ca_file),
            "clientId": "task api",
            "secretFile": str(secret),
            "audiences": ["orders"],
        } | members
        return Endpoint(Introspection.model_validate(config), limits)

    return build


def says(site: Any, status: int = 200, body: Any = b"", **headers: str) -> None:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    def write(handler: Any) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)

    site.answers["/introspect"] = write


def test_the_client_proves_itself_in_the_header(make: Any, site: Any) -> None:
    says(site, body={"active": True, "sub": "alice"})
    found = make()(TOKEN)
    assert isinstance(found, Active)
    assert parse_qs(site.bodies[0]) == {
        "token": [TOKEN],
        "token_type_hint": ["access_token"],
    }
    sent = base64.b64decode(site.headers[0]["Authorization"].removeprefix("Basic "))
    assert sent == b"task+api:p%26ss+word%2F%C3%A9"  # RFC 6749 §2.3.1
    assert site.headers[0]["Accept"] == "application/json"


def test_or_in_the_form(make: Any, site: Any) -> None:
    says(site, body={"active": False})
    assert make(authMethod="client_secret_post")(TOKEN) == Inactive()
    form = parse_qs(site.bodies[0])
    assert (form["client_id"], form["client_secret"]) == (["task api"], ["p&ss word/é"])
    assert "Authorization" not in site.headers[0]


def test_a_changed_secret_is_used_with_the_next_question(
    make: Any, site: Any, secret: Path
) -> None:
    says(site, body={"active": False})
    endpoint = make(authMethod="client_secret_post")
    endpoint(TOKEN)
    secret.write_text("rotated")
    endpoint(TOKEN)
    assert parse_qs(site.bodies[1])["client_secret"] == ["rotated"]


@pytest.mark.parametrize("content", [None, b"", b" \n", b"a\nb", b"\xff", b"x" * 70_000], ids=str)
def test_without_a_usable_secret_nothing_is_sent(
    make: Any, site: Any, secret: Path, content: bytes | None
) -> None:
    if content is None:
        secret.unlink()
    else:
        secret.write_bytes(content)
    endpoint = make()
    found = endpoint(TOKEN)
    assert isinstance(found, Trouble)
    assert found.stop
    assert str(secret) in found.sentence
    assert endpoint.missing() == found.sentence
    assert site.asked == []


def test_a_connection_serves_again(make: Any, site: Any, monkeypatch: Any) -> None:
    opened: list[Any] = []
    real = socket.create_connection
    monkeypatch.setattr(
        "urllib3.util.connection.create_connection",
        lambda *a, **k: opened.append(a) or real(a[0], k.get("timeout") or a[1]),
    )
    monkeypatch.setattr("http.server.BaseHTTPRequestHandler.protocol_version", "HTTP/1.1")
    says(site, body={"active": False})
    endpoint = make()
    for _ in range(3):
        assert endpoint(TOKEN) == Inactive()
    assert len(opened) == 1
    endpoint.close()


def test_a_connection_that_the_server_closed_meanwhile_costs_nobody_anything(
    make: Any, site: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("http.server.BaseHTTPRequestHandler.protocol_version", "HTTP/1.1")
    says(site, body={"active": False})
    endpoint = make()
    assert endpoint(TOKEN) == Inactive()
    polite, visits = site.answers["/introspect"], []

    def hang_up_once(handler: Any) -> None:
        visits.append(1)
        if len(visits) == 1:
            handler.close_connection = True
            handler.connection.close()
        else:
            polite(handler)

    site.answers["/introspect"] = hang_up_once
    assert endpoint(TOKEN) == Inactive()
    assert len(visits) == 2


FAULTS: dict[str, Any] = {
    "redirect": (307, b"", {"Location": "/elsewhere"}),
    "html": (200, b"<html>", {}),
    "too long": (200, b'{"active":true,"x":"' + b"x" * MAX_BODY + b'"}', {}),
    "encoded": (200, b'{"active":true}', {"Content_Encoding": "gzip"}),
    "502": (502, b'{"active":true}', {}),
}


@pytest.mark.must(32)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_trouble_and_never_an_active_token(make: Any, site: Any, fault: str) -> None:
    status, body, headers = FAULTS[fault]
    says(site, status, body, **headers)
    site.answers["/elsewhere"] = b'{"active":true}'
    found = make()(TOKEN)
    assert isinstance(found, Trouble)
    assert "canary" not in found.sentence
    assert "/elsewhere" not in site.asked
    says(site, body={"active": False})
    assert make()(TOKEN) == Inactive()


@pytest.mark.must(32)
def test_an_unknown_certificate_sees_no_token(make: Any, site: Any) -> None:
    found = make(caFile=None)(TOKEN)
    assert isinstance(found, Trouble)
    assert "CERTIFICATE_VERIFY_FAILED" in found.sentence
    assert site.bodies == []


@pytest.mark.must(32, 39)
@pytest.mark.parametrize("kind", ["hang", "drip"])
def test_an_endpoint_that_hangs_or_drips_is_cut(make: Any, site: Any, kind: str) -> None:
    def hang(handler: Any) -> None:
        if kind == "drip":
            handler.send_response(200)
            handler.end_headers()
            while not site.released.wait(0.02):
                handler.wfile.write(b" ")
        site.released.wait()

    site.answers["/introspect"] = hang
    found = make(Limits(total=0.3))(TOKEN)
    assert isinstance(found, Trouble)
    assert "0.3 s" in found.sentence


def test_retry_after_is_heard(make: Any, site: Any) -> None:
    says(site, 429, Retry_After="12")
    found = make()(TOKEN)
    assert isinstance(found, Trouble)
    assert found.retry_after == 12


def test_nobody_there_is_trouble(make: Any, site: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = make(url=f"http://127.0.0.1:{port}/introspect")(TOKEN)
    assert isinstance(found, Trouble)
    assert "cannot be fetched" in found.sentence
