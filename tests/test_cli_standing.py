"""What do `attache credentials` and `attache status` print, and how do they end?"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agent.admin.server import AdminServer
from agent.cli_commands import app
from agent.config.fields import Address
from agent.telemetry.metrics import Metrics
from demo.ports import Ports

RUN = CliRunner()
SECRET = "identities.us.oauth.secretFile"
PORTS = Ports()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration with a secret that ends in ten days and a half, and one nobody knows of."""
    ends = datetime.now(UTC) + timedelta(days=10.5)
    (tmp_path / "secret").write_text("canary")
    (tmp_path / "secret.expires").write_text(ends.isoformat())
    (tmp_path / "key").write_text("canary")
    oauth = {"tokenUrl": "https://x.example", "clientId": "c", "secretFile": f"{tmp_path}/secret"}
    key = {"secretFile": {"file": f"{tmp_path}/key"}}
    config = {
        "workload": {"name": "w"},
        "listeners": {"outbound": {}},
        "issuers": [{"name": "o", "oidc": {"issuer": "https://o.example", "audiences": ["a"]}}],
        "identities": [{"name": "us", "oauth": oauth}],
        "destinations": [{"name": "crm", "hosts": ["crm"], "credential": key}],
        "agent": {"admin": f"127.0.0.1:{PORTS.take()}"},
    }
    written = tmp_path / "attache.yaml"
    written.write_text(json.dumps(config))
    return written


@pytest.mark.parametrize(
    ("within", "code"), [("", 0), ("10d", 0), ("11d", 1), ("366d", 1), ("soon", 2), ("-1d", 2)]
)
def test_a_check_fails_for_what_ends_within_its_time(file: Path, within: str, code: int) -> None:
    given = ["--fail-within", within] if within else []
    done = RUN.invoke(app, ["credentials", "--config", str(file), *given])
    assert done.exit_code == code, done.output
    assert (f"secret {SECRET}: ends on" in done.stderr) == (code == 1)
    if code != 2:
        assert "10 days" in done.stdout
        assert "not known" in done.stdout
    assert "canary" not in done.output


def test_programs_read_the_same_as_json(file: Path) -> None:
    done = RUN.invoke(app, ["credentials", "--config", str(file), "--json"])
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert {name: row["state"] for name, row in rows.items()} == {
        SECRET: "soon",
        "destinations.crm.credential.secretFile.file": "unknown",
        "issuers.o": "unknown",
    }


def test_a_file_that_cannot_be_read_fails_a_check_and_is_said(file: Path) -> None:
    file.with_name("secret").unlink()
    done = RUN.invoke(app, ["credentials", "--config", str(file), "--fail-within", "1d"])
    assert done.exit_code == 1
    assert "cannot be read" in done.stderr


def test_without_an_agent_there_is_no_status(file: Path) -> None:
    for command in (["status"], ["credentials", "--live"]):
        done = RUN.invoke(app, [*command, "--config", str(file)])
        assert done.exit_code == 1
        assert "no agent answers at 127.0.0.1:" in done.stderr


TROUBLED: dict[str, Any] = {
    "version": "1",
    "workload": "shop/w",
    "configuration": {"error": "a.yaml:3 routes: wrong"},
    "issuers": [
        {
            "name": "o",
            "part": "",
            "keys": [],
            "ageSeconds": None,
            "usable": False,
            "error": "it answers 502",
        }
    ],
    "credentials": {
        "destinations": [
            {"destination": "crm", "kind": "obo", "lastError": "Rotate it.", "lastSuccessAt": None},
            {"destination": "log", "kind": "none", "lastError": None, "lastSuccessAt": None},
        ]
    },
    "expiries": [
        {
            "kind": "secret",
            "name": SECRET,
            "state": "expired",
            "problem": None,
            "expiresAt": "2020-01-01T00:00:00Z",
        },
        {"kind": "secret", "name": "[fine]", "state": "fine", "problem": None},
    ],
    "xds": {
        "streams": 1,
        "in_step": False,
        "types": [
            {
                "kind": "listeners",
                "sent": "2",
                "accepted": "1",
                "refusals": 3,
                "last_refusal": {"reason": "[port] taken"},
            },
            {"kind": "routes", "sent": "1", "accepted": "1", "refusals": 0, "last_refusal": None},
        ],
    },
    "revocation": {"up": False},
}


@pytest.fixture
def admin(file: Path) -> Iterator[None]:
    port = json.loads(file.read_text())["agent"]["admin"]
    server = AdminServer(
        Address.parse(port),
        ready=lambda: ["issuer 'o': no keys"],
        status=lambda: TROUBLED,
        jwks=None,
        metrics=Metrics("1"),
        degraded=lambda: ["the list is old"],
    )
    server.start()
    yield
    server.stop()


@pytest.mark.usefixtures("admin")
def test_a_person_woken_at_night_reads_what_is_wrong_and_what_to_do(file: Path) -> None:
    done = RUN.invoke(app, ["status", "--config", str(file)])
    assert done.exit_code == 1  # it is not ready
    assert done.stdout.splitlines() == [
        "attache 1 for shop/w: NOT READY",
        "missing: issuer 'o': no keys",
        "degraded: the list is old",
        "the changed configuration is refused: a.yaml:3 routes: wrong",
        "issuer: o: 0 keys, never fetched",
        "  last failure: it answers 502",
        "destination crm: Rotate it.",
        "destination log: none, last success: not used yet",
        f"secret {SECRET}: ends on 2020-01-01T00:00:00Z",
        "envoy: has not taken everything yet",
        "  listeners: refused 3 times, last: [port] taken",
        "revocation: the list's source does not answer; see --json",
    ]
    shown = json.loads(RUN.invoke(app, ["status", "--config", str(file), "--json"]).stdout)
    assert shown == TROUBLED | {
        "ready": False,
        "missing": ["issuer 'o': no keys"],
        "degraded": ["the list is old"],
    }
