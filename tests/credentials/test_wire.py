"""What may come over the wire from a token endpoint, over real TLS."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from agent.credentials.answers import Answer
from agent.credentials.wire import NoAnswer, Wire
from tests.credentials.conftest import FakeSts, Scripted, granted


def _post(wire: Wire, url: str, seconds: float = 10.0) -> Answer:
    with wire.call(seconds) as call:
        with suppress(NoAnswer):
            wire.post(f"{url}/t/oauth2/v2.0/token", data={"a": "b"})
        return call.answer


@pytest.fixture
def wire(sts: FakeSts) -> Wire:
    return Wire(sts.ca_file)


def test_a_json_object_comes_through_with_its_status(sts: FakeSts, wire: Wire) -> None:
    sts.script = lambda form: Scripted(400, {"error": "x"}, Retry_After="9")
    assert _post(wire, sts.url) == Answer(400, {"error": "x"}, 9)


@pytest.mark.must(32)
@pytest.mark.parametrize(
    ("scripted", "status"),
    [
        (Scripted(200, "<html>"), 200),
        (Scripted(429, "slow down"), 429),
        (Scripted(200, "[1]"), 200),
        (Scripted(200, ""), 200),
        (Scripted(200, '{"access_token": "cut'), 200),
        (Scripted(200, "[" * 100_000), 200),
        (Scripted(200, '{"a": "' + "x" * 2**20 + '"}'), 200),  # more than 1 MiB
        (Scripted(302, "", Location="/elsewhere"), 302),
    ],
)
def test_anything_else_is_no_answer(
    sts: FakeSts, wire: Wire, scripted: Scripted, status: int
) -> None:
    sts.script = lambda form: scripted
    answer = _post(wire, sts.url)
    assert (answer.status, answer.body) == (status, None)
    assert len(sts.forms) == 1  # no redirect was followed


@pytest.mark.must(32)
def test_another_certificate_authority_is_not_believed(sts: FakeSts) -> None:
    answer = _post(Wire(), sts.url)
    assert (answer.status, answer.failure) == (0, "shows a certificate that we do not trust")
    assert sts.forms == []


@pytest.mark.must(32)
def test_the_environment_decides_nothing(
    sts: FakeSts, wire: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """REQUESTS_CA_BUNDLE would override `verify`, a proxy would see the name of the server."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "nothing.pem"))
    netrc = tmp_path / "netrc"
    netrc.write_text("default login eve password canary")
    monkeypatch.setenv("NETRC", str(netrc))
    assert _post(wire, sts.url).status == 200
    assert "Authorization" not in sts.headers[0]


@pytest.mark.must(32)
@pytest.mark.parametrize("url", ["http://sts.example", "ftp://localhost", "file:///etc/passwd"])
def test_plain_http_is_for_loopback_only(wire: Wire, url: str) -> None:
    assert _post(wire, url).failure == "names an endpoint that is not https"


def test_a_hanging_server_is_left_in_time(sts: FakeSts, wire: Wire) -> None:
    sts.script = sts.hang
    answer = _post(wire, sts.url, 0.2)
    assert (answer.status, answer.failure) == (0, "does not answer in time")


def test_a_reset_is_tried_once_more_and_no_more(sts: FakeSts, wire: Wire) -> None:
    sts.script = lambda form: Scripted(reset=True)
    answer = _post(wire, sts.url)
    assert (answer.status, answer.failure) == (0, "cannot be reached or broke the connection off")
    assert len(sts.forms) == 2
    left = [Scripted(reset=True), granted("t")]
    sts.script = lambda form: left.pop(0)
    assert _post(wire, sts.url).status == 200


def test_nobody_listening_is_an_answer_too(wire: Wire) -> None:
    assert _post(wire, "https://localhost:1").failure.startswith("cannot be reached")


def test_connections_are_kept_and_cookies_are_not(sts: FakeSts, wire: Wire) -> None:
    sts.script = lambda form: Scripted(200, {"a": "b"}, Set_Cookie="session=alice; Path=/")
    for _ in range(5):
        assert _post(wire, sts.url).status == 200
    assert sts.connections == 1
    assert all("Cookie" not in headers for headers in sts.headers)


def test_discovery_is_asked_once_and_tokens_each_time(sts: FakeSts, wire: Wire) -> None:
    url = f"{sts.url}/tenant/v2.0/.well-known/openid-configuration"
    for _ in range(3):
        with wire.call(5.0):
            assert "token_endpoint" in wire.get(url).text
            wire.post(f"{sts.url}/tenant/oauth2/v2.0/token", data={})
    assert [path.count("token") for path in sts.paths] == [0, 1, 1, 1]


def test_a_wire_is_used_inside_a_call_only(wire: Wire) -> None:
    with pytest.raises(RuntimeError):
        wire.post("https://localhost:1/", data={})
