"""A B2C user flow is an authority of its own: metadata, keys and tokens."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import requests

from demo.idp import Directory, IdentityProvider, jose
from demo.idp.caller import Caller

CONTOSO = "11111111-1111-4111-8111-111111111111"
TASK_API = "aaaaaaaa-0000-4000-8000-000000000001"
SIGN_IN = "aaaaaaaa-0000-4000-8000-000000000006"


@pytest.fixture(scope="module")
def running(directory: Directory) -> Iterator[IdentityProvider]:
    contoso, *others = directory.tenants
    flows = replace(contoso, policies=("B2C_1_signin", "B2C_1_edit"))
    with IdentityProvider(replace(directory, tenants=(flows, *others))) as provider:
        yield provider


@pytest.fixture
def idp(running: IdentityProvider) -> IdentityProvider:
    return running


def sign_in(caller: Caller, document: dict[str, str], **changes: str) -> requests.Response:
    form = {
        "grant_type": "password",
        "client_id": SIGN_IN,
        "username": "alice@contoso.example",
        "password": "alice-password",
        "scope": "openid api://task-api/access_as_user",
    }
    return caller.session.post(document["token_endpoint"], data=form | changes)


@pytest.mark.parametrize(
    ("path", "issuer"),
    [
        (f"/{CONTOSO}/B2C_1_signin", f"/{CONTOSO}/v2.0/"),
        ("/contoso.example/b2c_1_signin", f"/{CONTOSO}/v2.0/"),
        (f"/tfp/{CONTOSO}/B2C_1_signin", f"/tfp/{CONTOSO}/b2c_1_signin/v2.0/"),
    ],
)
def test_a_flows_tokens_are_proven_by_its_own_keys(
    idp: IdentityProvider, caller: Caller, path: str, issuer: str
) -> None:
    document = caller.get(f"{path}/v2.0/.well-known/openid-configuration").json()
    assert document["issuer"] == idp.base_url + issuer
    keys = {jwk["kid"]: jwk for jwk in caller.session.get(document["jwks_uri"]).json()["keys"]}
    jws = jose.parse(sign_in(caller, document).json()["access_token"])
    assert jws
    assert jose.proves(jws, jose.public_key(keys[jws.header["kid"]]))
    assert jws.claims["iss"] == document["issuer"]
    assert (jws.claims["aud"], jws.claims["scp"]) == (TASK_API, "access_as_user")
    assert jws.claims["tfp"].lower() == "b2c_1_signin"


def test_flows_share_no_keys_with_each_other_or_the_tenant(caller: Caller) -> None:
    paths = (f"/{CONTOSO}/B2C_1_signin", f"/{CONTOSO}/B2C_1_edit", f"/{CONTOSO}")
    documents = [caller.get(f"{path}/discovery/v2.0/keys").json() for path in paths]
    one, two, shared = ({key["kid"] for key in document["keys"]} for document in documents)
    assert len(one | two | shared) == len(one) + len(two) + len(shared)
    assert min(len(one), len(two), len(shared)) >= 1


def test_a_flow_that_does_not_exist_is_not_found(caller: Caller) -> None:
    for path in (f"/{CONTOSO}/B2C_1_other", "/northwind.example/B2C_1_signin"):
        answer = caller.get(f"{path}/v2.0/.well-known/openid-configuration")
        assert answer.status_code == 404


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}, 70003),
        ({"scope": ""}, 900144),
        ({"password": "wrong"}, 50126),
        ({"client_secret": "any"}, 700025),
        ({"scope": "api://nobody/x"}, 500011),
    ],
)
def test_a_flow_refuses(caller: Caller, changes: dict[str, str], code: int) -> None:
    path = f"/{CONTOSO}/B2C_1_signin/v2.0/.well-known/openid-configuration"
    answer = sign_in(caller, caller.get(path).json(), **changes)
    assert answer.json()["error_codes"] == [code]
