"""With a real Envoy and real certificates: a token goes only to the server that we mean."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

pytestmark = pytest.mark.e2e


class Authority:
    """A certificate authority of its own."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self.certificate = self._sign(self.name, self.key, None, authority=True)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, folder: Path, *names: str) -> tuple[Path, Path]:
        """Write a certificate for *names* and its key to *folder*; return the two paths."""
        folder.mkdir(exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")])
        general: list[x509.GeneralName] = []
        for name in names:
            try:
                general.append(x509.IPAddress(ipaddress.ip_address(name)))
            except ValueError:
                general.append(x509.DNSName(name))
        alternative = x509.SubjectAlternativeName(general)
        certificate = self._sign(subject, key, alternative, authority=False)
        paths = folder / "tls.crt", folder / "tls.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return paths

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        names: x509.SubjectAlternativeName | None,
        authority: bool,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256())


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


class Shop:
    """A TLS server, and the destination `billing` that leads to it."""

    def __init__(self, pod: Any, server: Any, authority: Authority, place: Path) -> None:
        self.pod, self._server, self.authority, self.place = pod, server, authority, place
        self.trust = place / "trust"
        self.trust.mkdir()
        self.trust_authority(authority)

    def trust_authority(self, authority: Authority) -> None:
        """Replace the mounted file as Kubernetes does: the folder is a link that moves at once."""
        number = len(list(self.trust.iterdir()))
        folder = self.trust / f"..{number}"
        folder.mkdir()
        (folder / "ca.crt").write_bytes(authority.pem)
        fresh = self.trust / "..new"
        fresh.symlink_to(folder.name)
        fresh.rename(self.trust / "..data")
        link = self.trust / "ca.crt"
        if not link.is_symlink():
            link.symlink_to("..data/ca.crt")

    def serve(self, *names: str, authority: Authority | None = None, mutual: bool = False) -> Any:
        issuer = authority or self.authority
        certificate, key = issuer.issue(self.place / f"server{names[0]}{id(issuer)}", *names)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["h2", "http/1.1"])
        if mutual:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=self.authority.pem.decode())
        return self._server("billing", lambda raw: context.wrap_socket(raw, server_side=True))

    def destination(self, server: Any, **tls: Any) -> dict[str, Any]:
        tls = {"caFile": str(self.trust / "ca.crt")} | tls
        return self.pod.destination("billing", server, tls=tls)


@pytest.fixture
def shop(pod: Any, server: Any, authority: Authority, place: Path) -> Shop:
    return Shop(pod, server, authority, place)


@pytest.mark.parametrize(
    ("names", "sni", "expected"),
    [
        (["billing.test"], "billing.test", 200),
        (["*.test"], "billing.test", 200),
        (["127.0.0.1"], None, 200),
        (["audit.test"], "billing.test", 503),
        (["billing.test.evil"], "billing.test", 503),
        (["billing.test"], None, 503),
        (["127.0.0.2"], None, 503),
    ],
)
@pytest.mark.must(25)
def test_the_certificate_must_name_the_destination(pod, shop, names, sni, expected):
    server = shop.serve(*names)
    pod.start(destinations=[shop.destination(server, **({"sni": sni} if sni else {}))])
    answer = pod.call(host="billing.shop")
    assert answer.status == expected
    assert server.requests == (1 if expected == 200 else 0)


def test_the_server_sees_the_callers_protocol_and_https(pod, shop):
    pod.start(destinations=[shop.destination(shop.serve("127.0.0.1"))])
    answer = pod.call(host="billing.shop")
    assert answer.echo["alpn"] == "http/1.1"  # though the server would have liked h2 better
    assert answer.sent("x-forwarded-proto") == ["https"]
    assert answer.sent("host") == ["billing.shop"]


def test_another_authoritys_certificate_is_refused_until_that_one_is_mounted(pod, shop, wait):
    other = Authority()
    pod.start(destinations=[shop.destination(shop.serve("127.0.0.1", authority=other))])
    assert pod.call(host="billing.shop").status == 503
    shop.trust_authority(other)
    wait(lambda: pod.call(host="billing.shop").status == 200, "Envoy has read the new authority")


def test_a_client_certificate_is_shown_where_one_is_configured(pod, shop, authority, place):
    certificate, key = authority.issue(place / "client", "task-api")
    server = shop.serve("127.0.0.1", mutual=True)
    pod.start(destinations=[shop.destination(server)])
    assert pod.call(host="billing.shop").status == 503
    files = {"certificateFile": str(certificate), "keyFile": str(key)}
    pod.change(destinations=[shop.destination(server, **files)])
    assert pod.call(host="billing.shop").status == 200


def test_a_missing_authority_file_harms_no_other_destination_and_is_shown(pod, shop, server, wait):
    pod.start()
    broken = shop.destination(shop.serve("127.0.0.1"), caFile="/nowhere/ca.crt")
    broken |= {"name": "broken", "hosts": ["broken.shop"]}
    config = pod.config(
        destinations=[
            pod.destination("billing", pod.billing),
            broken,
            pod.destination("audit", server("audit")),
        ]
    )
    pod.agent.ads.publish(pod.snapshot(config))
    secrets = lambda: {one.kind: one for one in pod.agent.ads.status().types}["secrets"]  # noqa: E731
    wait(lambda: secrets().last_refusal, "the refusal is shown")
    assert "/nowhere" in secrets().last_refusal.reason
    wait(lambda: pod.call(host="audit.shop").status == 200, "the others are served")
    assert pod.call(host="billing.shop").status == 200
    assert pod.call(host="broken.shop").status == 503
