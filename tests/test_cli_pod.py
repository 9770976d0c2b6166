"""What a pod's init container does, and whether a pod that must not start is told why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli_commands import app
from agent.pod import prepare

VALID = """
workload: {name: tasks}
listeners:
  inbound: {application: "127.0.0.1:8000"}
  outbound: {mode: %s}
routes: [{path: /healthz, anonymous: true}]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "attache.yaml"
    file.write_text(VALID % "redirect")
    return file


def prepared(config: Path, *more: str):
    bootstrap = config.with_name("envoy.json")
    words = ["pod", "prepare", "--config", str(config), "--bootstrap", str(bootstrap), *more]
    return CliRunner().invoke(app, words), bootstrap


def test_envoys_bootstrap_is_written_for_another_user_to_read(config):
    done, bootstrap = prepared(config)
    assert done.exit_code == 0
    assert json.loads(bootstrap.read_text())["node"]["id"] == "tasks"
    assert bootstrap.stat().st_mode & 0o777 == 0o644


def test_the_rules_are_handed_to_nft_whole(config, monkeypatch):
    taken = {}

    def run(command, **given):
        taken.update(command=command, rules=given["input"])
        return prepare.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(prepare.subprocess, "run", run)
    done, _ = prepared(
        config,
        *("--redirect", "--exclude-inbound-ports", "9090,9091"),
        *("--exclude-outbound-ports", "5432", "--exclude-outbound-cidrs", "10.0.0.0/8, fd00::/8"),
    )
    assert done.exit_code == 0, done.output
    assert taken["command"] == ["nft", "-f", "-"]
    for part in ("{ 9090, 9091, 15006, 15021 }", "{ 5432 }", "10.0.0.0/8", "ip6 daddr fd00::/8"):
        assert part in taken["rules"]


REFUSED = [
    (["--exclude-inbound-ports", "http"], "'http' is no port"),
    (["--exclude-outbound-ports", "70000"], "from 1 to 65535"),
    (["--exclude-outbound-cidrs", "10.0.0.1/8"], "has host bits set"),
    (["--probes", "15021"], "no valid port"),
]


@pytest.mark.parametrize(("more", "words"), REFUSED)
def test_a_wrong_exclusion_stops_the_pod_with_a_sentence(config, more, words):
    done, _ = prepared(config, "--redirect", *more)
    assert done.exit_code == 1
    assert words in done.output


def test_a_pod_that_redirects_what_the_configuration_does_not_is_stopped(config):
    config.write_text(VALID % "proxy")
    done, _ = prepared(config, "--redirect")
    assert (done.exit_code, "write mode: redirect" in done.output) == (1, True)


def test_an_image_without_nft_is_told_by_its_name(config, monkeypatch):
    monkeypatch.setenv("PATH", str(config.parent))
    done, _ = prepared(config, "--redirect")
    assert (done.exit_code, "use the init image" in done.output) == (1, True)


def test_what_nft_says_is_passed_on(config, monkeypatch):
    nft = config.with_name("nft")
    nft.write_text("#!/bin/sh\necho Operation not permitted >&2\nexit 1\n")
    nft.chmod(0o755)
    monkeypatch.setenv("PATH", f"{config.parent}:/bin:/usr/bin")
    done, _ = prepared(config, "--redirect")
    assert done.exit_code == 1
    assert "Operation not permitted" in done.output
    assert "NET_ADMIN" in done.output


def test_a_place_that_cannot_be_written_is_named(config):
    words = ["pod", "prepare", "--config", str(config), "--bootstrap", "/proc/none/envoy.json"]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, "mount a volume there" in done.output) == (1, True)
