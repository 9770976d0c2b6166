"""A client that proves itself by the certificate of its connection (RFC 8705 §2)."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.config.identities import OAuthIdentity
from agent.credentials.oauth import OAuthClient
from demo.idp import certificates
from tests.credentials.conftest import FakeSts, granted

Pair = tuple[bytes, bytes]


def pair(name: str) -> Pair:
    made = certificates.self_signed(name, time.time())
    key = made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.certificate.public_bytes(Encoding.PEM), key


@pytest.fixture(scope="module")
def pairs() -> tuple[Pair, Pair]:
    return pair("first"), pair("second")


class Files:
    """The certificate and key that are mounted."""

    def __init__(self, folder: Path, pair: Pair) -> None:
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"
        self.write(pair)

    def write(self, pair: Pair) -> None:
        self.certificate.write_bytes(pair[0])
        self.key.write_bytes(pair[1])


@pytest.fixture
def files(tmp_path: Path, pairs: tuple[Pair, Pair]) -> Files:
    return Files(tmp_path, pairs[0])


@pytest.fixture
def client(sts: FakeSts, files: Files, pairs: tuple[Pair, Pair]) -> OAuthClient:
    sts.ask_for_certificates(*(certificate for certificate, _ in pairs))
    return OAuthClient(
        "bank",
        OAuthIdentity.model_validate(
            {
                "tokenUrl": f"{sts.url}/r/token",
                "clientId": "us",
                "caFile": str(sts.ca_file),
                "certificateFile": str(files.certificate),
                "keyFile": str(files.key),
            }
        ),
    )


def ask(client: OAuthClient) -> int:
    return client.for_client(("s",), "", 5.0).status


def test_a_rotated_certificate_is_shown_with_the_next_request(
    sts: FakeSts, client: OAuthClient, files: Files, pairs: tuple[Pair, Pair]
) -> None:
    """Though the server would keep the connection, which was made with the old one."""
    assert [ask(client), ask(client)] == [200, 200]
    assert (sts.shown, sts.connections) == (["first", "first"], 1)
    files.write(pairs[1])
    assert [ask(client), ask(client)] == [200, 200]
    assert (sts.shown[2:], sts.connections) == (["second", "second"], 2)
    assert "client_secret" not in str(sts.forms)
    assert {form["client_id"] for form in sts.forms} == {"us"}


def test_half_a_rotation_asks_nobody_and_says_what_is_wrong(
    sts: FakeSts, client: OAuthClient, files: Files, pairs: tuple[Pair, Pair]
) -> None:
    assert ask(client) == 200
    files.certificate.write_bytes(pairs[1][0])
    answer = client.for_client(("s",), "", 5.0)
    assert (answer.ours, len(sts.forms)) == (True, 1)
    assert "does not belong to the key" in answer.failure
    assert str(files.key) in answer.failure
    assert "does not belong to the key" in client.unproven()
    files.key.write_bytes(pairs[1][1])
    assert ask(client) == 200
    assert sts.shown[-1] == "second"
    assert client.unproven() == ""


def test_a_rotation_breaks_no_request_that_is_under_way(
    sts: FakeSts, client: OAuthClient, files: Files, pairs: tuple[Pair, Pair]
) -> None:
    entered, rotated = threading.Event(), threading.Event()

    def slow(form: dict[str, str]) -> object:
        entered.set()
        rotated.wait(10)
        return granted("token")

    sts.script = slow  # type: ignore[assignment]
    with ThreadPoolExecutor(1) as thread:
        under_way = thread.submit(ask, client)
        assert entered.wait(10)
        files.write(pairs[1])
        assert client.unproven() == ""  # looks at the files, as /readyz does
        rotated.set()
        assert under_way.result() == 200
    assert ask(client) == 200
    assert sts.shown == ["first", "second"]
