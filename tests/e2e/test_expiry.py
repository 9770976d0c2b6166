"""With a real agent: what expires is in the log, /status and the metrics, and renewals are seen."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.e2e.lone_agent import LoneAgent

pytestmark = pytest.mark.e2e

CERT = "identities.us.entra.certificateFile"
SECRET = "identities.them.oauth.secretFile"


def certificate(days: float) -> bytes:
    key, now = generate_private_key(65537, 2048), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "us")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem + made.public_bytes(Encoding.PEM)


def configuration(folder: Path) -> dict[str, Any]:
    token_url = "https://login.invalid/token"
    return {
        "workload": {"name": "w"},
        "listeners": {"outbound": {}},
        "identities": [
            {
                "name": "us",
                "entra": {"tenant": "t", "clientId": "c", "certificateFile": f"{folder}/c.pem"},
            },
            {
                "name": "them",
                "oauth": {
                    "tokenUrl": token_url,
                    "clientId": "c",
                    "secretFile": f"{folder}/secret",
                    "expires": "2099-01-01",
                },
            },
        ],
        "internalTokens": {"issuer": "https://i", "trustDomain": "d", "keys": f"{folder}/keys"},
    }


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoneAgent]:
    folder = tmp_path_factory.mktemp("expiry")
    (folder / "c.pem").write_bytes(certificate(5.5))
    (folder / "secret").write_text("canary-client-secret")
    attache("keys", "new", "--keys", f"{folder}/keys")
    made = LoneAgent(folder, configuration(folder))
    yield made
    made.stop()


def attache(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("attache")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def left(agent: LoneAgent, name: str, kind: str) -> float | None:
    """The seconds that the metric says."""
    start = f'attache_credential_expiry_seconds{{kind="{kind}",name="{name}"}} '
    for line in agent.get("/metrics").text.splitlines():
        if line.startswith(start):
            return float(line.removeprefix(start))
    return None


@pytest.mark.must(38, 45)
def test_what_expires_is_said_in_time_and_its_renewal_is_seen(agent: LoneAgent) -> None:
    said = agent.said(f"certificate {CERT}")
    assert " warning attache.expiry" in said
    assert "expires in 5 days" in said
    days = (left(agent, CERT, "certificate") or 0) / 86_400
    assert 5 < days < 5.5
    assert (left(agent, SECRET, "secret") or 0) > 365 * 86_400

    (agent.folder / "secret.expires").write_text("2020-01-01")
    assert "EXPIRED on 2020-01-01" in agent.said(f"error attache.expiry: secret {SECRET}")
    (agent.folder / "c.pem").write_bytes(certificate(90))
    agent.said(f"certificate {CERT} ({agent.folder}/c.pem) is valid until")

    rows = {row["name"]: row for row in agent.get("/status").json()["expiries"]}
    assert rows[CERT]["state"] == "fine"
    assert rows[SECRET]["state"] == "expired"
    (key,) = [row for row in rows.values() if row["kind"] == "signing-key"]
    assert key["state"] == "aging"
    assert agent.logged().count(f"certificate {CERT}") == 2  # each once
    (agent.folder / "secret.expires").unlink()
    agent.said(f"secret {SECRET} ({agent.folder}/secret) is valid until 2099")
    assert "canary" not in agent.logged() + agent.get("/status").text + agent.get("/metrics").text


def test_a_person_asks_the_running_agent(agent: LoneAgent) -> None:
    (agent.folder / "c.pem").write_bytes(certificate(2.5))
    agent.said("expires in 2 days")
    done = attache("status", "--config", str(agent.file))
    assert done.returncode == 0, done
    assert "ready" in done.stdout
    assert f"certificate {CERT}: ends on" in done.stdout
    assert "envoy: is not connected" in done.stdout
    live = attache("credentials", "--config", str(agent.file), "--json", "--live")
    rows = {row["name"]: row for row in json.loads(live.stdout)}
    assert rows[CERT]["state"] == "urgent"
