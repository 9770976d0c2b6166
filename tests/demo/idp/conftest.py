"""One running provider for all tests of a module, put back in order before each test."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

import demo.idp
from demo.idp import Directory, IdentityProvider, certificates, jose, loading
from demo.idp.caller import Caller
from demo.idp.directory import FederatedCredential

WORKLOAD_ISSUER = "https://kubernetes.default.svc"
WORKLOAD_SUBJECT = "system:serviceaccount:shop:suite"


@pytest.fixture(scope="session")
def readme_example() -> str:
    """Return the directory file that README.md shows."""
    readme = Path(str(demo.idp.__file__)).with_name("README.md").read_text(encoding="utf-8")
    found = re.search(r"```yaml\n(.*?)```", readme, re.DOTALL)
    assert found
    return found.group(1)


@dataclass(frozen=True)
class Credentials:
    """What the suite app proves itself with, beside its secret."""

    certified: certificates.Certified
    workload_key: rsa.RSAPrivateKey

    def workload_token(self, **claims: Any) -> str:
        """Return a service-account token as a cluster issues it."""
        whole = {
            "iss": WORKLOAD_ISSUER,
            "sub": WORKLOAD_SUBJECT,
            "aud": ["api://AzureADTokenExchange"],
            "exp": 4_000_000_000,
        }
        return jose.sign(whole | claims, self.workload_key, {"kid": "cluster"})


@pytest.fixture(scope="session")
def credentials() -> Credentials:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Credentials(certificates.self_signed("suite", 1_700_000_000), key)


@pytest.fixture(scope="session")
def directory(readme_example: str, credentials: Credentials) -> Directory:
    example = loading.load(readme_example, "README.md")
    suite = example.app("suite")
    assert suite
    pem = credentials.certified.certificate.public_bytes(Encoding.PEM).decode()
    jwk = jose.public_jwk(credentials.workload_key.public_key()) | {"kid": "cluster"}
    trusted = FederatedCredential(WORKLOAD_ISSUER, WORKLOAD_SUBJECT, (jwk,))
    return example.with_app(replace(suite, certificates=(pem,), federated_credentials=(trusted,)))


@pytest.fixture(scope="module")
def running(directory: Directory) -> Iterator[IdentityProvider]:
    with IdentityProvider(directory) as provider:
        yield provider


@pytest.fixture
def idp(running: IdentityProvider, directory: Directory) -> IdentityProvider:
    running.clear_faults()
    running.counters.reset()
    running.world.change(lambda _: directory)
    return running


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    # either would override the `verify` that msal is given
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)


@pytest.fixture
def caller(idp: IdentityProvider) -> Iterator[Caller]:
    with Caller(idp) as caller:
        yield caller
