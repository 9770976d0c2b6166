"""What does the webhook prove itself with? A leaf, and an authority that signed nothing else."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

BEFORE = timedelta(minutes=5)  # clocks differ


@dataclass(frozen=True, slots=True)
class Certificate:
    """A server's chain, its key, and the authority to trust; PEM each, times in UTC seconds."""

    authority: bytes
    chain: bytes
    key: bytes = field(repr=False)
    names: tuple[str, ...]
    begins: float
    ends: float


class Unusable(ValueError):
    """This is no certificate that could be served; the text says why."""


def made(names: Sequence[str], now: float, life: float) -> Certificate:
    """Make a leaf for *names*, valid for *life* seconds, and the authority that vouches for it.

    The authority's key is forgotten: whoever reads the Secret can be this webhook, and no other.
    """
    begins = datetime.fromtimestamp(int(now), UTC) - BEFORE
    ends = datetime.fromtimestamp(int(now + life), UTC)
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    # Names that differ: an API server that trusts two of them picks by subject (RFC 5280 §6.1)
    serial = x509.random_serial_number()
    issuer = _name(f"attache-injector {serial:x}"[:64])
    identifier = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    root = (
        _builder(issuer, issuer, begins, ends)
        .public_key(root_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(root_key, SHA256())
    )
    leaf = (
        _builder(_name("attache-injector"), issuer, begins, ends)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_names(names)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
        .sign(root_key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return read(root.public_bytes(Encoding.PEM), leaf.public_bytes(Encoding.PEM), private)


def read(authority: bytes, chain: bytes, key: bytes) -> Certificate:
    """The certificate in three PEM texts; `Unusable` where they do not belong together."""
    try:
        leaf = x509.load_pem_x509_certificate(chain)
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        raise Unusable("the chain holds no certificate with names") from None
    certificate = Certificate(
        authority, chain, key, tuple(found.get_values_for_type(x509.DNSName)),
        leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp(),
    )  # fmt: skip
    context(certificate)  # a key of another certificate shows here
    return certificate


def context(certificate: Certificate) -> ssl.SSLContext:
    """What serves *certificate*; `Unusable` where its key is another's."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.minimum_version = ssl.TLSVersion.TLSv1_2
    # OpenSSL reads files only; this one is ours alone (0600), and gone at once
    with tempfile.NamedTemporaryFile(prefix="attache-") as file:
        Path(file.name).write_bytes(certificate.chain + b"\n" + certificate.key)
        try:
            serving.load_cert_chain(file.name)
        except (ssl.SSLError, OSError):
            raise Unusable("the key is not this certificate's") from None
    return serving


def authorities(bundle: bytes) -> list[bytes]:
    """The certificates in *bundle*, one PEM each; `Unusable` where it is no bundle."""
    if not bundle.strip():
        return []
    try:
        found = x509.load_pem_x509_certificates(bundle)
    except ValueError:
        raise Unusable("the bundle holds no certificates") from None
    return [certificate.public_bytes(Encoding.PEM) for certificate in found]


def _builder(
    subject: x509.Name, issuer: x509.Name, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs, key_cert_sign=signs, crl_sign=signs,
        content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _names(names: Iterable[str]) -> list[x509.GeneralName]:
    return [x509.DNSName(name) for name in names]
