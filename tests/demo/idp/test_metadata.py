"""Discovery and keys documents have Entra's shape, over real TLS."""

import base64
import hashlib
import re
import socket
import ssl

import pytest
from cryptography import x509

from demo.idp import IdentityProvider
from demo.idp.caller import Caller
from demo.idp.settings import MSA_TENANT

CONTOSO = "11111111-1111-4111-8111-111111111111"


@pytest.mark.parametrize(
    ("path", "issuer"),
    [
        (f"/{CONTOSO}/v2.0", "{base}/" + CONTOSO + "/v2.0"),
        ("/contoso.example/v2.0", "{base}/" + CONTOSO + "/v2.0"),
        ("/common/v2.0", "{base}/{{tenantid}}/v2.0"),
        ("/organizations/v2.0", "{base}/{{tenantid}}/v2.0"),
        ("/consumers/v2.0", "{base}/" + MSA_TENANT + "/v2.0"),
        (f"/{CONTOSO}", f"https://sts.windows.net/{CONTOSO}/"),
        ("/common", "https://sts.windows.net/{{tenantid}}/"),
    ],
)
def test_a_discovery_document_names_the_issuer_of_its_version(
    idp: IdentityProvider, caller: Caller, path: str, issuer: str
) -> None:
    document = caller.get(f"{path}/.well-known/openid-configuration").json()
    assert document["issuer"] == issuer.format(base=idp.base_url)
    segment = path.split("/")[1].replace("contoso.example", CONTOSO)
    version = "v2.0/" if path.endswith("v2.0") else ""
    assert document["token_endpoint"] == f"{idp.base_url}/{segment}/oauth2/{version}token"
    assert caller.session.get(document["jwks_uri"]).status_code == 200


def test_an_unknown_tenant_is_90002(caller: Caller) -> None:
    answer = caller.get("/nowhere.example/v2.0/.well-known/openid-configuration")
    assert (answer.status_code, answer.json()["error_codes"]) == (400, [90002])


def test_a_key_is_named_by_the_sha1_of_its_certificate(caller: Caller) -> None:
    keys = caller.get(f"/{CONTOSO}/discovery/keys").json()["keys"]
    assert len(keys) >= 3
    for key in keys:
        der = base64.b64decode(key["x5c"][0])
        digest = base64.urlsafe_b64encode(hashlib.sha1(der).digest()).rstrip(b"=").decode()
        assert key["kid"] == key["x5t"] == digest
        assert (key["kty"], key["use"], key["e"]) == ("RSA", "sig", "AQAB")
        assert "issuer" not in key
        assert x509.load_der_x509_certificate(der).public_key()


def test_v2_keys_carry_a_template_issuer_and_the_scoped_one_a_concrete_issuer(
    idp: IdentityProvider, caller: Caller
) -> None:
    keys = caller.get("/common/discovery/v2.0/keys").json()["keys"]
    issuers = [key["issuer"] for key in keys]
    assert issuers.count(f"{idp.base_url}/{{tenantid}}/v2.0") >= 2
    assert issuers.count(f"{idp.base_url}/{MSA_TENANT}/v2.0") == 1
    assert {key["cloud_instance_name"] for key in keys} == {"microsoftonline.com"}


def test_rotation_publishes_a_key_and_then_signs_with_it(
    idp: IdentityProvider, caller: Caller
) -> None:
    def published() -> set[str]:
        keys = caller.get("/common/discovery/v2.0/keys").json()["keys"]
        return {key["kid"] for key in keys}

    before, old = published(), idp.world.ring.active
    new = caller.control("POST", "keys/publish").json()["kid"]
    assert published() == before | {new}
    assert idp.world.ring.active == old
    caller.control("POST", "keys/activate", json={"kid": new})
    token = caller.app_token("task-api", "api://audit/.default", "contoso.example")
    header = base64.urlsafe_b64decode(token.split(".")[0] + "==").decode()
    assert f'"{new}"' in header
    assert caller.control("POST", "keys/retire", json={"kid": new}).status_code == 400
    assert caller.control("POST", "keys/retire", json={"kid": old}).status_code == 200
    assert old not in published()


def test_the_certificate_satisfies_strict_verification(
    idp: IdentityProvider, caller: Caller
) -> None:
    context = ssl.create_default_context(cafile=str(idp.ca_file))
    context.verify_flags |= ssl.VERIFY_X509_STRICT

    port = int(re.findall(r":(\d+)$", idp.base_url)[0])
    for name in ("localhost", "127.0.0.1", "::1"):
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            context.wrap_socket(plain, server_hostname=name) as tls,
        ):
            assert tls.version() in ("TLSv1.2", "TLSv1.3")


def test_a_silent_client_does_not_keep_others_waiting(
    idp: IdentityProvider, caller: Caller
) -> None:

    port = int(idp.base_url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)):
        answer = caller.get("/common/v2.0/.well-known/openid-configuration", timeout=30)
        assert answer.status_code == 200
