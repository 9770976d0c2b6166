"""What a discovery document must say to be believed (SECURITY.md 32, 35)."""

import json
from typing import Any

import pytest

from agent.identity.issuers.document import Document, Metadata, insecure, read_metadata
from agent.identity.unusable import Unusable

ISS = "https://op.example"
DOCUMENT = Document(
    group="",
    algorithms=("RS256",),
    discovery=(f"{ISS}/.well-known/openid-configuration",),
    issuer=ISS,
)
SAID: dict[str, Any] = {"issuer": ISS, "jwks_uri": f"{ISS}/keys"}


def read(said: dict[str, Any]) -> Metadata | Unusable:
    return read_metadata(DOCUMENT, json.dumps(said).encode())


def test_metadata_is_read() -> None:
    assert read(SAID) == Metadata(ISS, f"{ISS}/keys")
    cloud = read(SAID | {"cloud_instance_name": "c", "jwks_uri": "https://elsewhere.example/k"})
    assert cloud == Metadata(ISS, "https://elsewhere.example/k", "c")


@pytest.mark.must(32)
@pytest.mark.parametrize(
    "said",
    [
        {"issuer": ISS + "/"},
        {"issuer": ISS.upper()},
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"issuer": 1},
        {"issuer": ""},
        {"issuer": [ISS]},
        {"jwks_uri": None},
        {"jwks_uri": ["https://op.example/keys"]},
        {"jwks_uri": ""},
        {"jwks_uri": "/keys"},
        {"jwks_uri": "http://op.example/keys"},
        {"jwks_uri": "http://127.0.0.1/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "data:application/json,{}"},
        {"jwks_uri": "https://user:secret@op.example/keys"},
        {"jwks_uri": "https://[::1/keys"},
    ],
    ids=str,
)
def test_metadata_about_another_issuer_or_with_unsafe_keys_is_unusable(
    said: dict[str, Any],
) -> None:
    found = read(SAID | said)
    assert isinstance(found, Unusable)
    assert "secret" not in found.sentence


@pytest.mark.must(35)
@pytest.mark.parametrize("raw", [b"", b"<html>", b"[]", b'{"issuer":"https://op.example"'])
def test_what_is_no_document_is_unusable(raw: bytes) -> None:
    assert isinstance(read_metadata(DOCUMENT, raw), Unusable)


@pytest.mark.must(32)
@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://op.example/keys", True),
        ("http://localhost:8080/keys", True),
        ("http://127.0.0.1/keys", True),
        ("http://[::1]/keys", True),
        ("http://op.example/keys", False),
        ("http://127.0.0.1.evil.example/", False),
        ("http://localhost.evil.example/", False),
        ("ftp://op.example/", False),
        ("https://", False),
        ("", False),
        ("https://a@b/", False),
    ],
)
def test_plain_http_is_for_loopback_only(url: str, safe: bool) -> None:
    assert (insecure(url) == "") is safe
