"""What the managed identity endpoint says, and what becomes of it. The endpoint is a fake one."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from agent.credentials import azure
from agent.credentials.answers import Answer, Asked
from agent.credentials.azure import Platform
from agent.credentials.exchange import token_of
from agent.credentials.verdict import judge
from agent.errors import Reason

ASKED = Asked("audit", "managed identity", "", "", ("r/.default",), False, azure.SERVER)
Reply = tuple[int, dict[str, str], bytes]


def granted(token: str = "mi-token", life: int = 86400) -> Reply:
    """As IMDS writes it: every value is text."""
    body = {"access_token": token, "expires_in": str(life), "token_type": "Bearer"}
    return 200, {}, json.dumps(body | {"expires_on": str(int(time.time()) + life)}).encode()


def refused(status: int, error: str = "invalid_request", text: str = "Identity not found") -> Reply:
    return status, {}, json.dumps({"error": error, "error_description": text}).encode()


class FakeImds:
    """Plain http on loopback; `script` is called with what was asked."""

    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.script: Callable[[], Reply] = granted
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(dict(parse_qsl(urlsplit(self.path).query)))
                outer.headers.append({k.lower(): v for k, v in self.headers.items()})
                status, headers, body = outer.script()
                self.send_response(status)
                for name, value in ({"Content-Length": str(len(body))} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def imds(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeImds]:
    fake = FakeImds()
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", fake.url)
    monkeypatch.setattr(azure, "PAUSES", (0.01, 0.02))
    yield fake
    fake.stop()


@pytest.mark.parametrize(
    ("client", "sent"), [("", {}), ("user-assigned", {"client_id": "user-assigned"})]
)
def test_the_resource_and_the_identity_are_asked_for(
    imds: FakeImds, client: str, sent: dict[str, str]
) -> None:
    answer = Platform(client).token("https://storage.azure.com/", 5.0)
    token = token_of(answer, 1000.0, 0.0)
    assert token is not None
    assert token.value == "mi-token"
    assert token.expires_at == pytest.approx(1000 + 86400, abs=5)
    assert token.refresh_at == pytest.approx(1000 + 43200, rel=0.1)  # ENTRA.md §3: half-life
    assert imds.headers[0]["metadata"].lower() == "true"
    asked = imds.asked[0]
    asked.pop("api-version")
    assert asked == {"resource": "https://storage.azure.com/"} | sent


def test_azures_own_cache_answers_nothing(imds: FakeImds) -> None:
    platform = Platform()
    for _ in range(3):
        platform.token("api://audit", 5.0)
    assert len(imds.asked) == 3


@pytest.mark.must(32)
def test_no_proxy_of_the_environment_is_asked(
    imds: FakeImds, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    assert Platform().token("api://audit", 5.0).status == 200


def test_it_never_becomes_workload_identity_by_itself(
    imds: FakeImds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "https://127.0.0.1:9")
    monkeypatch.setenv("AZURE_TENANT_ID", "t")
    monkeypatch.setenv("AZURE_CLIENT_ID", "c")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", "/nowhere")
    assert Platform().token("api://audit", 5.0).status == 200
    assert len(imds.asked) == 1


@pytest.mark.parametrize(
    ("reply", "reason", "said"),
    [
        (refused(400), Reason.CREDENTIAL_ERROR, "has no system-assigned managed identity"),
        (
            refused(400, "invalid_resource", "AADSTS500011: no such principal"),
            Reason.CREDENTIAL_ERROR,
            "does not know the resource 'api://audit' (invalid_resource, 500011)",
        ),
        (refused(403, "forbidden"), Reason.CREDENTIAL_ERROR, "refuses us (status 403"),
        (refused(404), Reason.ISSUER_UNAVAILABLE, "answers with status 404"),
        (refused(410), Reason.ISSUER_UNAVAILABLE, "answers with status 410"),
        (refused(500), Reason.ISSUER_UNAVAILABLE, "answers with status 500"),
        ((502, {}, b"<html>"), Reason.ISSUER_UNAVAILABLE, "answers with status 502"),
        ((200, {}, b"<html>"), Reason.ISSUER_UNAVAILABLE, "answers with status 200"),
        ((200, {}, b"x" * 1_100_000), Reason.ISSUER_UNAVAILABLE, "sends too much"),
        ((429, {"Retry-After": "7"}, b"slow down"), Reason.RATE_LIMITED, "again in 7 s"),
        (
            (302, {"Location": "http://127.0.0.1:9/"}, b""),
            Reason.ISSUER_UNAVAILABLE,
            "answers with status 302",
        ),
    ],
)
def test_every_trouble_is_a_503_and_a_sentence(
    imds: FakeImds, reply: Reply, reason: Reason, said: str
) -> None:
    imds.script = lambda: reply
    answer = Platform().token("api://audit", 5.0)
    verdict = judge(answer, ASKED)
    assert (verdict.denial.reason, verdict.denial.status) == (reason, 503)
    assert said in verdict.sentence
    assert verdict.sentence.startswith("destination 'audit': ")


def test_a_hiccup_is_tried_again(imds: FakeImds) -> None:
    replies = iter([refused(500), refused(410), granted("second")])
    imds.script = lambda: next(replies)
    answer = Platform().token("api://audit", 5.0)
    assert answer.body is not None
    assert answer.body["access_token"] == "second"


@pytest.mark.parametrize(
    "host", ["http://127.0.0.1:9", "http://imds.example", "http://10.0.0.1:9", "ftp://x"]
)
@pytest.mark.must(32)
def test_an_endpoint_that_is_absent_or_elsewhere_is_unavailable(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", host)
    verdict = judge(Platform().token("api://audit", 5.0), ASKED)
    assert verdict.denial.reason is Reason.ISSUER_UNAVAILABLE
    assert "may this pod reach it?" in verdict.sentence


@pytest.mark.must(39)
def test_an_endpoint_that_hangs_is_left_in_time(imds: FakeImds) -> None:
    released = threading.Event()

    def hang() -> Reply:
        released.wait(30)
        return granted()

    imds.script = hang
    answer = Platform().token("api://audit", 0.2)
    released.set()
    assert answer == Answer(
        0, failure="does not answer in time; is there one, and may this pod reach it?"
    )


@pytest.mark.must(45)
def test_nothing_of_an_answer_reaches_the_log(
    imds: FakeImds, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    odd = json.dumps({"access_token": "opaque-canary"}).encode()
    for reply in (granted("opaque-canary"), (200, {}, odd), refused(400, text="opaque-canary")):
        imds.script = lambda reply=reply: reply
        Platform().token("api://audit", 5.0)
    assert "opaque-canary" not in caplog.text
