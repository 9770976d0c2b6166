"""The real msal works against the provider, unmodified, over real TLS."""

from typing import Any

import msal
import pytest
import requests
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.idp import Fault, IdentityProvider, jose
from demo.idp.caller import Caller
from demo.idp.certificates import self_signed

CONTOSO = "11111111-1111-4111-8111-111111111111"
TASK_API = "aaaaaaaa-0000-4000-8000-000000000001"
SUITE = "aaaaaaaa-0000-4000-8000-000000000005"
AUDIT = ["api://audit/.default"]


def confidential(
    idp: IdentityProvider, client_id: str, credential: Any, tenant: str = CONTOSO
) -> Any:
    return msal.ConfidentialClientApplication(
        client_id,
        authority=idp.authority(tenant),
        client_credential=credential,
        instance_discovery=False,
        verify=str(idp.ca_file),
    )


def key_pem(credentials: Any) -> str:
    key = credentials.certified.key
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return str(pem.decode())


def certificate_pem(credentials: Any) -> str:
    return str(credentials.certified.certificate.public_bytes(Encoding.PEM).decode())


@pytest.mark.parametrize("tenant", [CONTOSO, "contoso.example"])
def test_client_credentials_with_a_secret(idp: IdentityProvider, tenant: str) -> None:
    app = confidential(idp, TASK_API, "task-api-secret", tenant)
    result = app.acquire_token_for_client(AUDIT)
    assert result["token_source"] == "identity_provider"
    assert app.acquire_token_for_client(AUDIT)["token_source"] == "cache"
    assert idp.counters.total("token", grant="client_credentials") == 1


def test_on_behalf_of_with_a_secret(idp: IdentityProvider, caller: Caller) -> None:
    assertion = caller.user_token("alice@contoso.example", "api://task-api/access_as_user")
    app = confidential(idp, TASK_API, "task-api-secret")
    result = app.acquire_token_on_behalf_of(assertion, ["api://notification/.default"])
    assert result["scope"].startswith("api://notification/")
    assert result["id_token_claims"]["preferred_username"] == "alice@contoso.example"
    assert idp.counters.total("token", grant="jwt-bearer") == 1


@pytest.mark.parametrize("algorithm", ["PS256", "RS256"])
def test_a_certificate(idp: IdentityProvider, credentials: Any, algorithm: str) -> None:
    credential = {"private_key": key_pem(credentials)}
    if algorithm == "PS256":
        credential["public_certificate"] = certificate_pem(credentials)
    else:
        credential["thumbprint"] = credentials.certified.certificate.fingerprint(SHA1()).hex()
    result = confidential(idp, SUITE, credential).acquire_token_for_client(AUDIT)
    jws = jose.parse(result["access_token"])
    assert jws
    assert jws.claims["appidacr"] == "2"


def test_a_federated_assertion(idp: IdentityProvider, credentials: Any) -> None:
    credential = {"client_assertion": lambda: credentials.workload_token()}
    result = confidential(idp, SUITE, credential).acquire_token_for_client(AUDIT)
    assert "access_token" in result, result


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"iss": "https://other.example"}, 700211),
        ({"sub": "system:serviceaccount:shop:other"}, 700213),
        ({"aud": ["other"]}, 700212),
        ({"exp": 1}, 700024),
    ],
)
def test_a_federated_assertion_that_matches_no_record(
    idp: IdentityProvider, credentials: Any, changes: dict[str, Any], code: int
) -> None:
    credential = {"client_assertion": lambda: credentials.workload_token(**changes)}
    result = confidential(idp, SUITE, credential).acquire_token_for_client(AUDIT)
    assert (result["error"], result["error_codes"]) == ("invalid_client", [code])


def test_another_certificates_key_is_700027(idp: IdentityProvider, credentials: Any) -> None:
    other = self_signed("other", 1_700_000_000)
    pem = other.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    for certificate in (
        certificate_pem(credentials),
        other.certificate.public_bytes(Encoding.PEM).decode(),
    ):
        credential = {"private_key": pem, "public_certificate": certificate}
        result = confidential(idp, SUITE, credential).acquire_token_for_client(AUDIT)
        assert result["error_codes"] == [700027]


@pytest.mark.parametrize(
    ("claims", "code"),
    [({"aud": "https://other.example/token"}, 700023), ({"sub": "other"}, 700021)],
)
def test_a_certificate_assertion_for_others_is_refused(
    idp: IdentityProvider, caller: Caller, credentials: Any, claims: dict[str, str], code: int
) -> None:
    url = f"{idp.base_url}/{CONTOSO}/oauth2/v2.0/token"
    whole = {"iss": SUITE, "sub": SUITE, "aud": url, "exp": 4_000_000_000} | claims
    thumbprint = credentials.certified.certificate.fingerprint(SHA256())
    header = {"x5t#S256": jose.b64url(thumbprint)}
    form = {
        "grant_type": "client_credentials",
        "scope": AUDIT[0],
        "client_id": SUITE,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": jose.sign(whole, credentials.certified.key, header),
    }
    answer = caller.token(CONTOSO, form)
    assert (answer.status_code, answer.json()["error_codes"]) == (401, [code])


def test_msal_sees_faults_as_it_sees_entras(idp: IdentityProvider) -> None:
    app = confidential(idp, TASK_API, "task-api-secret")
    idp.fault(Fault("html_error", endpoint="token", count=1))
    with pytest.raises(msal.exceptions.MsalServiceError):
        app.acquire_token_for_client(AUDIT)
    # msal answers from memory for a while after a 5xx: a fresh app asks again
    app = confidential(idp, TASK_API, "task-api-secret")
    idp.fault(Fault("reset", endpoint="token"))
    with pytest.raises(requests.ConnectionError):
        app.acquire_token_for_client(AUDIT)
    # neither is tried again by msal itself
    assert idp.counters.total("token") == 2
    idp.clear_faults()
    assert "access_token" in app.acquire_token_for_client(AUDIT)
