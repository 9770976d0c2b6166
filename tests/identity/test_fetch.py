"""A fetch that no server can turn against us: real TLS, real faults (SECURITY.md 32)."""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from agent.identity.fetch import MAX_BODY, Fetcher
from agent.identity.unusable import Unusable


def answer(status: int, body: bytes = b"", **headers: str) -> Callable[..., None]:
    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return write


def endless(handler: BaseHTTPRequestHandler) -> None:
    """A body without a length that goes on past every bound."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(2 * MAX_BODY // 65536):
        handler.wfile.write(b"x" * 65536)


def test_a_document_is_fetched_over_https_with_its_own_ca(site: Any) -> None:
    site.answers["/doc"] = b'{"a":1}'
    assert Fetcher()(f"{site.origin}/doc", site.ca_file) == b'{"a":1}'
    assert site.headers[0]["Accept-Encoding"] == "identity"
    assert "application/jwk-set+json" in site.headers[0]["Accept"]


@pytest.mark.must(32)
def test_a_certificate_of_an_unknown_ca_is_refused(site: Any) -> None:
    found = Fetcher()(f"{site.origin}/doc", None)
    assert isinstance(found, Unusable)
    assert "CERTIFICATE_VERIFY_FAILED" in found.sentence
    assert site.asked == []


@pytest.mark.must(32)
def test_a_certificate_for_another_name_is_refused(site: Any) -> None:
    url = site.origin.replace("localhost", "127.0.0.2")
    assert isinstance(Fetcher()(f"{url}/doc", site.ca_file), Unusable)
    assert site.asked == []


@pytest.mark.must(32)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_not_followed(site: Any, status: int) -> None:
    site.answers["/doc"] = answer(status, Location=f"{site.origin}/other")
    site.answers["/other"] = b"{}"
    found = Fetcher()(f"{site.origin}/doc", site.ca_file)
    assert isinstance(found, Unusable)
    assert "redirects" in found.sentence
    assert site.asked == ["/doc"]


@pytest.mark.parametrize(
    ("status", "retry", "seconds"),
    [
        (404, None, 0),
        (500, None, 0),
        (503, "120", 120),
        (429, "5", 5),
        (204, None, 0),
        (429, "soon", 0),
        (429, "-1", 0),
        (429, "9" * 400, 0),
    ],
)
def test_another_status_is_a_failure_with_what_the_server_asked_for(
    site: Any, status: int, retry: str | None, seconds: float
) -> None:
    site.answers["/doc"] = answer(status, **({"Retry_After": retry} if retry else {}))
    found = Fetcher()(f"{site.origin}/doc", site.ca_file)
    assert isinstance(found, Unusable)
    assert str(status) in found.sentence
    assert found.retry_after == seconds


@pytest.mark.must(32, 42)
@pytest.mark.parametrize(
    "fault", [answer(200, b"x" * (2 * MAX_BODY)), endless], ids=["with a length", "without"]
)
def test_a_body_over_a_mebibyte_is_refused(site: Any, fault: Any) -> None:
    site.answers["/doc"] = fault
    found = Fetcher()(f"{site.origin}/doc", site.ca_file)
    assert isinstance(found, Unusable)
    assert "longer than" in found.sentence


def test_a_body_of_a_mebibyte_is_the_last_that_is_read(site: Any) -> None:
    site.answers["/doc"] = b"x" * MAX_BODY
    assert Fetcher()(f"{site.origin}/doc", site.ca_file) == b"x" * MAX_BODY


def test_a_body_that_stops_short_is_refused(site: Any) -> None:
    site.answers["/doc"] = answer(200, b"{}", Content_Length="100", Connection="close")
    assert isinstance(Fetcher()(f"{site.origin}/doc", site.ca_file), Unusable)


def test_an_encoding_that_nobody_asked_for_is_refused(site: Any) -> None:
    site.answers["/doc"] = answer(200, b"bomb", Content_Encoding="gzip")
    found = Fetcher()(f"{site.origin}/doc", site.ca_file)
    assert isinstance(found, Unusable)
    assert "encoding" in found.sentence


@pytest.mark.must(32)
def test_a_server_that_says_nothing_is_given_up(site: Any) -> None:
    site.answers["/doc"] = lambda handler: site.released.wait()
    found = Fetcher(read=0.2)(f"{site.origin}/doc", site.ca_file)
    assert isinstance(found, Unusable)


@pytest.mark.must(32)
@pytest.mark.parametrize("where", ["body", "headers"])
def test_a_server_that_drips_is_cut_off(site: Any, where: str) -> None:
    """Each byte would start the read time-out again."""

    def drip(handler: BaseHTTPRequestHandler) -> None:
        if where == "body":
            handler.send_response(200)
            handler.end_headers()
        else:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not site.released.wait(0.05):
            handler.wfile.write(b"x")

    site.answers["/doc"] = drip
    found = Fetcher(read=5.0, total=0.5)(f"{site.origin}/doc", site.ca_file)
    assert isinstance(found, Unusable)
    assert "within 0.5 s" in found.sentence


@pytest.fixture
def mute() -> Iterator[int]:
    """A port that accepts connections and never speaks TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.must(32)
def test_a_handshake_that_never_comes_is_cut_off(mute: int, authority: Any) -> None:
    fetcher = Fetcher(connect=30, read=30, total=0.3)
    found = fetcher(f"https://localhost:{mute}/doc", authority[0])
    assert isinstance(found, Unusable)
    assert "within 0.3 s" in found.sentence


def test_nobody_listening_is_a_failure_with_a_reason(authority: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = Fetcher()(f"https://127.0.0.1:{port}/doc", authority[0])
    assert isinstance(found, Unusable)
    assert "refused" in found.sentence
    assert "0x" not in found.sentence


@pytest.mark.must(32)
@pytest.mark.parametrize("url", ["http://op.example/k", "file:///etc/passwd", "gopher://x/", ""])
def test_an_unsafe_address_is_never_opened(url: str) -> None:
    found = Fetcher()(url, None)
    assert isinstance(found, Unusable)
    assert "refused" in found.sentence


@pytest.mark.must(32)
def test_the_environments_proxy_and_ca_are_ignored(
    site: Any, mute: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{mute}")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    monkeypatch.setenv("CURL_CA_BUNDLE", "/nowhere/ca.pem")
    site.answers["/doc"] = b"{}"
    assert Fetcher(total=20)(f"{site.origin}/doc", site.ca_file) == b"{}"


def test_a_ca_file_that_is_not_there_is_named(site: Any, tmp_path: Path) -> None:
    found = Fetcher()(f"{site.origin}/doc", tmp_path / "gone.pem")
    assert isinstance(found, Unusable)
    assert "gone.pem" in found.sentence
    (tmp_path / "bad.pem").write_text("not a certificate")
    assert isinstance(Fetcher()(f"{site.origin}/doc", tmp_path / "bad.pem"), Unusable)


def test_a_file_is_read_and_its_faults_are_values(tmp_path: Path) -> None:
    good, long, fifo = tmp_path / "good", tmp_path / "long", tmp_path / "fifo"
    good.write_bytes(b"{}")
    long.write_bytes(b"x" * (MAX_BODY + 1))
    os.mkfifo(fifo)
    assert Fetcher()(good) == b"{}"
    for path in (long, fifo, tmp_path, tmp_path / "absent"):
        found = Fetcher()(path)
        assert isinstance(found, Unusable)
        assert str(path) in found.sentence


def test_no_fetch_leaves_a_watchdog_or_a_socket_behind(
    site: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.answers["/doc"] = b"{}"
    held: list[socket.socket] = []
    dup = socket.socket.dup
    monkeypatch.setattr(socket.socket, "dup", lambda self: held.append(dup(self)) or held[-1])
    fetcher = Fetcher()
    for path in ("/doc", "/doc", "/absent"):
        fetcher(f"{site.origin}{path}", site.ca_file)
    assert [each.fileno() for each in held] == [-1, -1, -1]
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join(30)
            assert not thread.is_alive()
