"""Who vouches for whom? The provider's own CA, its TLS leaf, and self-signed certificates."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Certified:
    """A private key and the certificate over its public half."""

    key: PrivateKey
    certificate: x509.Certificate

    def pem(self) -> bytes:
        """Return the private key and the certificate, one after the other."""
        return self.key.private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        ) + self.certificate.public_bytes(Encoding.PEM)


def read(pem: bytes) -> Certified:
    """Read what `Certified.pem` wrote. Raises ValueError or TypeError."""
    key = load_pem_private_key(pem, password=None)
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise TypeError(f"{type(key).__name__} is neither an RSA nor an elliptic-curve key")
    return Certified(key, x509.load_pem_x509_certificate(pem))


def self_signed(common_name: str, now: float) -> Certified:
    """Make an RSA key and its own certificate, as Entra has them for signing tokens."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    builder = _builder(_name(common_name), _name(common_name), key, now, days=5 * 365)
    return Certified(key, builder.sign(key, SHA256()))


def authority(now: float) -> Certified:
    """Make a CA that may sign certificates and nothing else."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("Attache demo identity provider CA")
    builder = (
        _builder(name, name, key, now, days=10 * 365)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return Certified(key, builder.sign(key, SHA256()))


def leaf(ca: Certified, names: Iterable[str], now: float, client: bool = False) -> Certified:
    """Make a server's (or a client's) certificate for *names* (host names and IP addresses).

    Python 3.13 verifies strictly (RFC 5280): hence key usages and both key identifiers.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    purpose = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
    issuer = ca.certificate
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        _builder(_name("Attache demo identity provider"), issuer.subject, key, now, days=90)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_alt(n) for n in names]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
    )
    return Certified(key, builder.sign(ca.key, SHA256()))


def _builder(
    subject: x509.Name, issuer: x509.Name, key: PrivateKey, now: float, days: int
) -> x509.CertificateBuilder:
    start = datetime.fromtimestamp(int(now), UTC) - timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alt(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
