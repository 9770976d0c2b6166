"""When does what stands in a file end?"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, pkcs12
from cryptography.x509.oid import NameOID

from agent.config.fields import instant
from agent.config.loading import parse
from agent.expiry.files import Reader, fact
from agent.expiry.sources import Source, sources
from agent.expiry.table import Kind

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = generate_private_key(SECP256R1())


def certificate(ends: datetime, begins: datetime = NOW - DAY) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .sign(KEY, hashes.SHA256())
    )


def pem(*ends: datetime) -> bytes:
    return b"".join(certificate(end).public_bytes(Encoding.PEM) for end in ends)


def found(kind: Kind, file: Path, expires: float | None = None) -> tuple[datetime | None, str]:
    made = fact(Source(kind, "x", file, expires), NOW.timestamp())
    ends = None if made.ends_at is None else datetime.fromtimestamp(made.ends_at, UTC)
    return ends, made.problem


def test_a_chain_ends_with_its_first_link_and_trust_with_its_last_authority(tmp_path: Path) -> None:
    file = tmp_path / "c.pem"
    file.write_bytes(pem(NOW + 9 * DAY, NOW + 3 * DAY, NOW + 5 * DAY))
    assert found(Kind.CERTIFICATE, file) == (NOW + 3 * DAY, "")
    assert found(Kind.AUTHORITY, file) == (NOW + 9 * DAY, "")


def test_a_pfx_is_read(tmp_path: Path) -> None:
    file = tmp_path / "c.pfx"
    leaf = certificate(NOW + 4 * DAY)
    file.write_bytes(pkcs12.serialize_key_and_certificates(b"x", KEY, leaf, None, NoEncryption()))
    assert found(Kind.CERTIFICATE, file) == (NOW + 4 * DAY, "")


def test_the_time_beside_a_secret_wins_over_the_configured_one(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cret")
    said = (NOW + 8 * DAY).timestamp()
    assert found(Kind.SECRET, file) == (None, "")
    assert found(Kind.SECRET, file, said) == (NOW + 8 * DAY, "")
    (tmp_path / "secret.expires").write_text("2026-06-03T00:00:00Z\n")
    assert found(Kind.SECRET, file, said) == (NOW + 2 * DAY, "")


BROKEN = [
    (Kind.CERTIFICATE, b"", "no certificate"),
    (Kind.CERTIFICATE, b"-----BEGIN CERTIFICATE-----\nx", "no certificate"),
    (Kind.AUTHORITY, b"\x30\x00 no pfx", "no certificate"),
    (Kind.CERTIFICATE, b"x" * ((1 << 20) + 1), "larger than"),
    (Kind.CERTIFICATE, None, "cannot be read"),
    (Kind.SECRET, None, "cannot be read"),
]


@pytest.mark.parametrize(("kind", "content", "told"), BROKEN)
def test_what_cannot_be_read_is_said_and_nothing_of_it_repeated(
    tmp_path: Path, kind: Kind, content: bytes | None, told: str
) -> None:
    file = tmp_path / "f"
    if content is not None:
        file.write_bytes(content)
    ends, problem = found(kind, file)
    assert ends is None
    assert told in problem


def test_a_time_that_is_none_is_said_without_repeating_the_file(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("x")
    (tmp_path / "s.expires").write_text("canary-secret")
    _, problem = found(Kind.SECRET, tmp_path / "s")
    assert "holds no time" in problem
    assert "canary" not in problem


def test_a_certificate_from_the_future_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "c.pem"
    early = certificate(NOW + 9 * DAY, NOW + DAY)
    file.write_bytes(early.public_bytes(Encoding.PEM))
    _, problem = found(Kind.CERTIFICATE, file)
    assert problem.startswith("it is valid only from 2026-06-02")


def test_a_file_is_read_again_when_it_was_swapped(tmp_path: Path) -> None:
    """As Kubernetes does it: a link moves, the path stays."""
    for name, days in (("one", 3), ("two", 90)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "c.pem").write_bytes(pem(NOW + days * DAY))
    link = tmp_path / "data"
    link.symlink_to("one")
    source = Source(Kind.CERTIFICATE, "x", link / "c.pem")
    reader, now = Reader(), NOW.timestamp()
    first = reader.facts([source], now)
    assert reader.facts([source], now)[0] is first[0]  # not read, for it stands as it stood
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", link)  # noqa: PTH105
    (second,) = reader.facts([source], now)
    assert second.ends_at == (NOW + 90 * DAY).timestamp()
    assert reader.facts([], now) == ()


CONFIG = b"""
workload: {name: a}
listeners: {outbound: {}}
identities:
  - {name: us, entra: {tenant: t, clientId: c, secretFile: /s, expires: 2026-12-31, caFile: /ca}}
  - {name: them, entra: {tenant: t, clientId: c, certificateFile: /c}}
destinations:
  - name: crm
    hosts: [crm]
    tls: {caFile: /x, certificateFile: /mtls, keyFile: /k}
    credential: {secretFile: {file: /key, expires: "2027-01-01T00:00:00Z"}}
"""


def test_every_file_that_ends_is_found_by_the_name_of_its_place() -> None:
    found = {s.name: (s.kind, str(s.file), s.expires) for s in sources(parse(CONFIG, "c"))}
    assert found == {
        "identities.us.entra.secretFile": (Kind.SECRET, "/s", instant("2026-12-31")),
        "identities.us.entra.caFile": (Kind.AUTHORITY, "/ca", None),
        "identities.them.entra.certificateFile": (Kind.CERTIFICATE, "/c", None),
        "destinations.crm.tls.caFile": (Kind.AUTHORITY, "/x", None),
        "destinations.crm.tls.certificateFile": (Kind.CERTIFICATE, "/mtls", None),
        "destinations.crm.credential.secretFile.file": (
            Kind.SECRET,
            "/key",
            instant("2027-01-01"),
        ),
    }
