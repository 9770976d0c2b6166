"""Certificates' files: each change counts, and nothing bad takes the place of what was good."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.config.attache import Attache
from agent.envoy.material import MAX_FILE, Material, named
from agent.envoy.snapshot import CLUSTER, Snapshot
from agent.envoy.tls import secrets
from demo.idp import certificates

Configure = Callable[..., Attache]


def pair() -> tuple[bytes, bytes]:
    made = certificates.self_signed("us", time.time())
    key = made.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.certificate.public_bytes(Encoding.PEM), key


FIRST, SECOND = pair(), pair()


class Files:
    def __init__(self, folder: Path) -> None:
        self.ca, self.certificate, self.key = (folder / n for n in ("ca", "certificate", "key"))
        self.write(FIRST)

    def write(self, pair: tuple[bytes, bytes]) -> None:
        self.ca.write_bytes(pair[0])
        self.certificate.write_bytes(pair[0])
        self.key.write_bytes(pair[1])


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def config(configure: Configure, files: Files) -> Attache:
    named = {"caFile": files.ca, "certificateFile": files.certificate, "keyFile": files.key}
    tls = {name: str(path) for name, path in named.items()}
    return configure(
        destinations=[
            {"name": "billing", "hosts": ["billing"], "tls": tls},
            {"name": "public", "hosts": ["public"], "tls": {}},
        ]
    )


def test_what_is_written_is_read_and_read_again(config: Attache, files: Files) -> None:
    material = Material()
    assert material.look(config) == {
        "authority_billing": (FIRST[0],),
        "certificate_billing": FIRST,
    }
    files.write(SECOND)
    assert material.look(config)["certificate_billing"] == SECOND
    assert material.problems == []


@pytest.mark.must(36)
@pytest.mark.parametrize("bad", [b"", b"x", FIRST[0][:-40], b"a" * (MAX_FILE + 1)])
def test_a_bad_certificate_or_authority_leaves_the_good_one_and_is_said_once(
    config: Attache, files: Files, bad: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    material = Material()
    good = material.look(config)
    files.ca.write_bytes(bad)
    files.certificate.write_bytes(bad)
    for _ in range(3):
        assert material.look(config) == good
    said = [r.message for r in caplog.records if r.levelno == logging.ERROR]
    assert len(said) == len(material.problems) == 2
    assert all("stays in use" in each and "destination 'billing'" in each for each in said)
    files.write(SECOND)
    assert material.look(config)["authority_billing"] == (SECOND[0],)
    assert material.problems == []


@pytest.mark.must(45)
def test_no_key_shows_in_a_repr(config: Attache) -> None:
    material = Material()
    material.look(config)
    assert "PRIVATE KEY" not in repr(vars(material))


def test_a_new_certificate_waits_for_its_key(config: Attache, files: Files) -> None:
    material = Material()
    material.look(config)
    files.certificate.write_bytes(SECOND[0])
    assert material.look(config)["certificate_billing"] == FIRST
    files.key.write_bytes(SECOND[1])
    assert material.look(config)["certificate_billing"] == SECOND


def test_a_file_that_is_gone_leaves_the_good_one(config: Attache, files: Files) -> None:
    material = Material()
    good = material.look(config)
    files.key.unlink()
    assert material.look(config) == good
    assert "cannot be read" in material.problems[0]


def test_what_was_never_good_is_left_to_envoy_to_read(config: Attache, files: Files) -> None:
    """It may be mounted for Envoy alone; and a broken one then shows as Envoy's refusal."""
    files.ca.unlink()
    contents = Material().look(config)
    assert set(contents) == {"certificate_billing"}
    found = {secret.name: secret for secret in secrets(config, Path("/bundle"), contents)}
    authority = found["authority_billing"].validation_context
    assert authority.trusted_ca.filename == str(files.ca)
    assert authority.watched_directory.path == str(files.ca.parent)
    shown = found[named("certificate_billing", contents)].tls_certificate
    assert (shown.certificate_chain.inline_bytes, shown.private_key.inline_bytes) == FIRST
    assert not shown.HasField("watched_directory")
    assert found["authority_public"].validation_context.trusted_ca.filename == "/bundle"


def test_other_contents_make_another_cluster_that_names_another_secret(
    config: Attache, files: Files
) -> None:
    """So connections that were made with the old ones end, and none of the new cluster has them."""
    material, found = Material(), []
    for pair in (FIRST, SECOND, FIRST):
        files.write(pair)
        contents = material.look(config)
        names = {secret.name for secret in secrets(config, Path("/bundle"), contents)}
        snapshot = Snapshot.of(config, Path("/bundle"), contents=contents)
        cluster = snapshot.types[CLUSTER].items["destination_billing"].SerializeToString()
        assert sum(name.encode() in cluster for name in names) == 2
        found.append((cluster, names))
    first, second, again = found
    assert first == again
    assert first[0] != second[0]
    assert first[1] & second[1] == {"authority_public"}


def test_what_no_destination_names_any_more_is_forgotten(
    config: Attache, configure: Configure, files: Files
) -> None:
    material = Material()
    material.look(config)
    files.ca.write_bytes(b"")
    material.look(config)
    assert material.look(configure()) == {}
    assert material.problems == []
