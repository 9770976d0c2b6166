"""How our client proves itself at a token endpoint, and how that endpoint is found."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.config.identities import OAuthIdentity
from agent.credentials.answers import Answer
from agent.credentials.oauth import OAuthClient
from tests.credentials.conftest import NOW, FakeClock, FakeSts, Scripted, granted

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def write(path: Path) -> ed25519.Ed25519PrivateKey:
    key = ed25519.Ed25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return key


def client(sts: FakeSts, clock: FakeClock | None = None, **written: Any) -> OAuthClient:
    values = {"clientId": "us", "caFile": str(sts.ca_file), "tokenUrl": f"{sts.url}/r/token"}
    values |= written
    identity = OAuthIdentity.model_validate({k: v for k, v in values.items() if v is not None})
    return OAuthClient("keycloak", identity, clock or FakeClock())


def asked(one: OAuthClient) -> Answer:
    return one.for_client(("s",), "", 5.0)


def assertion_of(sts: FakeSts) -> dict[str, Any]:
    return jwt.decode(sts.forms[-1]["client_assertion"], options={"verify_signature": False})


def test_each_request_brings_an_assertion_of_its_own(
    sts: FakeSts, tmp_path: Path, clock: FakeClock
) -> None:
    key = write(tmp_path / "key.pem")
    one = client(sts, clock, keyFile=str(tmp_path / "key.pem"), keyId="k")
    assert asked(one).status == 200
    form = sts.forms[0]
    assert (form["client_assertion_type"], form["client_id"]) == (TYPE, "us")
    assert "client_secret" not in form
    assert "Authorization" not in sts.headers[0]
    first = jwt.decode(
        form["client_assertion"],
        key.public_key(),
        algorithms=["EdDSA"],
        audience=f"{sts.url}/r/token",
        options={"verify_exp": False, "verify_iat": False},
    )
    clock.now += 7
    asked(one)
    second = assertion_of(sts)
    assert first["jti"] != second["jti"]
    assert (first["iat"], second["iat"]) == (NOW, NOW + 7)


def test_a_new_key_is_used_at_once(sts: FakeSts, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    write(path)
    one = client(sts, keyFile=str(path))
    asked(one)
    key = write(path)
    asked(one)
    jwt.decode(
        sts.forms[1]["client_assertion"],
        key.public_key(),
        algorithms=["EdDSA"],
        options={"verify_exp": False, "verify_aud": False, "verify_iat": False},
    )
    path.write_text("")
    answer = asked(one)
    assert (answer.ours, len(sts.forms)) == (True, 2)
    assert str(path) in answer.failure
    assert one.unproven()


@pytest.mark.parametrize(
    ("written", "audience"),
    [
        ({}, "{url}/r/token"),
        ({"assertionAudience": "https://sso.example"}, "https://sso.example"),
        ({"tokenUrl": None, "issuer": "{url}/r"}, "{url}/r"),
        (
            {"tokenUrl": None, "issuer": "{url}/r", "assertionAudience": "{url}/r/token"},
            "{url}/r/token",
        ),
    ],
)
def test_the_assertion_is_for_whom_the_server_wants(
    sts: FakeSts, tmp_path: Path, written: dict[str, Any], audience: str
) -> None:
    write(tmp_path / "key.pem")
    sts.discovery = lambda path: Scripted(
        200, {"issuer": f"{sts.url}/r", "token_endpoint": f"{sts.url}/r/token"}
    )
    filled = {k: v.format(url=sts.url) if v else None for k, v in written.items()}
    asked(client(sts, keyFile=str(tmp_path / "key.pem"), **filled))
    assert assertion_of(sts)["aud"] == audience.format(url=sts.url)


def test_a_federated_token_is_the_assertion_and_reread(sts: FakeSts, tmp_path: Path) -> None:
    file = tmp_path / "token"
    one = client(sts, federatedTokenFile=str(file))
    for content in ("a.b.c", "d.e.f"):
        file.write_text(content + "\n")
        asked(one)
        form = sts.forms[-1]
        assert (form["client_assertion"], form["client_assertion_type"]) == (content, TYPE)


def test_a_client_without_a_proof_only_says_its_name(sts: FakeSts) -> None:
    one = client(sts, authMethod="none")
    one.ask({"grant_type": "g"}, 5.0)
    client(sts, authMethod="none", clientId=None).ask({"grant_type": "g"}, 5.0)
    assert sts.forms == [{"grant_type": "g", "client_id": "us"}, {"grant_type": "g"}]


def test_a_resource_is_sent_beside_an_audience(sts: FakeSts, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    one = client(sts, secretFile=str(tmp_path / "secret"))
    one.for_client((), "billing", 5.0, "https://billing.example/")
    assert (sts.forms[0]["audience"], sts.forms[0]["resource"]) == (
        "billing",
        "https://billing.example/",
    )


# Discovery


@pytest.mark.must(32)
def test_the_token_endpoint_is_found_once_by_either_kind_of_document(sts: FakeSts) -> None:
    document = {"issuer": f"{sts.url}/r", "token_endpoint": f"{sts.url}/elsewhere"}
    for path in (
        "/r/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/r",
    ):
        sts.paths.clear()
        sts.discovery = lambda asked, path=path: (
            Scripted(200, document) if asked == path else Scripted(404, "<html>")
        )
        one = client(sts, tokenUrl=None, issuer=f"{sts.url}/r", authMethod="none")
        for _ in range(3):
            assert one.ask({"grant_type": "g"}, 5.0).status == 200
        assert sts.paths.count(path) == 1
        assert sts.paths.count("/elsewhere") == 3


@pytest.mark.must(32)
@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://other.example", "token_endpoint": "{url}/t"},
        {"issuer": "{url}/r/", "token_endpoint": "{url}/t"},
        {"token_endpoint": "{url}/t"},
        {"issuer": "{url}/r"},
        {"issuer": "{url}/r", "token_endpoint": "http://sso.example/t"},
        {"issuer": "{url}/r", "token_endpoint": ["{url}/t"]},
    ],
    ids=str,
)
def test_a_document_that_is_not_the_issuers_leads_nowhere(
    sts: FakeSts, tmp_path: Path, document: dict[str, Any]
) -> None:
    (tmp_path / "secret").write_text("canary")
    filled = {k: v.format(url=sts.url) if isinstance(v, str) else v for k, v in document.items()}
    sts.discovery = lambda path: Scripted(200, filled)
    one = client(sts, tokenUrl=None, issuer=f"{sts.url}/r", secretFile=str(tmp_path / "secret"))
    answer = asked(one)
    assert (answer.status, answer.body) == (0, None)
    assert answer.failure
    assert not sts.forms  # no secret went anywhere
    good = {"issuer": f"{sts.url}/r", "token_endpoint": f"{sts.url}/t"}
    sts.discovery = lambda path: Scripted(200, good)
    if filled.get("issuer") != good["issuer"]:
        assert asked(one).status == 200  # a wrong document is not remembered


@pytest.mark.parametrize(
    "scripted", [Scripted(503, "<html>"), Scripted(302, "", Location="/x"), Scripted(reset=True)]
)
def test_discovery_that_fails_is_the_servers_trouble(sts: FakeSts, scripted: Scripted) -> None:
    sts.discovery = lambda path: scripted
    one = client(sts, tokenUrl=None, issuer=f"{sts.url}/r", authMethod="none")
    answer = one.ask({"grant_type": "g"}, 5.0)
    assert answer.body is None
    assert not answer.ours
    assert not sts.forms


@pytest.mark.must(45)
def test_no_proof_is_logged_or_shown(
    sts: FakeSts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "key.pem")
    one = client(sts, keyFile=str(tmp_path / "key.pem"))
    sts.script = lambda form: granted("canary-token")
    with caplog.at_level(logging.DEBUG):
        answer = asked(one)
    made = sts.forms[0]["client_assertion"]
    shown = caplog.text + repr(answer) + repr(vars(one)) + repr(one._authentication())
    assert made not in shown
    assert "canary" not in shown
