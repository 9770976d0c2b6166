"""The instance metadata service answers in strings, and only those who ask for metadata."""

import pytest
import requests
from azure.identity import ManagedIdentityCredential

from demo.idp import IdentityProvider, jose
from demo.idp.directory import service_principal_id

CONTOSO = "11111111-1111-4111-8111-111111111111"
TASK_API = "aaaaaaaa-0000-4000-8000-000000000001"


def ask(idp: IdentityProvider, *, metadata: str | None = "true", **query: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(
            f"{idp.imds_url}/metadata/identity/oauth2/token",
            params={"api-version": "2018-02-01", **query},
            headers={} if metadata is None else {"Metadata": metadata},
        )


@pytest.mark.parametrize(
    "chosen", [{}, {"client_id": TASK_API}, {"object_id": service_principal_id(CONTOSO, TASK_API)}]
)
def test_a_token_for_a_managed_identity(idp: IdentityProvider, chosen: dict[str, str]) -> None:
    body = ask(idp, resource="api://audit", **chosen).json()
    assert all(isinstance(value, str) for value in body.values())
    assert int(body["expires_on"]) - int(body["not_before"]) == 86400
    jws = jose.parse(body["access_token"])
    assert jws
    assert (jws.claims["appid"], jws.claims["roles"]) == (TASK_API, ["AuditLog.Write"])


@pytest.mark.parametrize(
    ("metadata", "query"),
    [
        (None, {"resource": "api://audit"}),
        ("false", {"resource": "api://audit"}),
        ("true", {}),
        ("true", {"resource": "api://audit", "client_id": "unknown"}),
        ("true", {"resource": "api://nobody"}),
    ],
)
def test_a_request_that_is_refused(
    idp: IdentityProvider, metadata: str | None, query: dict[str, str]
) -> None:
    answer = ask(idp, metadata=metadata, **query)
    assert answer.status_code == 400
    assert answer.json()["error"] in ("invalid_request", "invalid_resource")


def test_azure_identity_takes_it_for_a_cloud_machine(
    idp: IdentityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AZURE_FEDERATED_TOKEN_FILE", "IDENTITY_ENDPOINT", "MSI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", idp.imds_url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ManagedIdentityCredential() as credential:
        token = credential.get_token("api://audit/.default")
    assert jose.parse(token.token)
    assert idp.counters.total("imds") >= 1
