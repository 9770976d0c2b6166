"""`attache inject` as a person runs it."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from agent.cli_commands import app

POD = b"""\
apiVersion: v1
kind: Pod
metadata: {name: one}
spec:
  containers:
  - name: app  # ours
    image: shop/app:1
"""


def test_manifests_go_in_and_come_out(tmp_path: Path) -> None:
    (tmp_path / "pod.yaml").write_bytes(POD)
    piped = CliRunner().invoke(app, ["inject"], input=POD)
    named = CliRunner().invoke(app, ["inject", str(tmp_path / "pod.yaml")])
    assert (piped.exit_code, named.exit_code) == (0, 0)
    assert piped.stdout_bytes == named.stdout_bytes
    assert b"  - name: app  # ours\n" in piped.stdout_bytes
    again = CliRunner().invoke(app, ["inject"], input=piped.stdout_bytes)
    assert again.stdout_bytes == piped.stdout_bytes


def test_what_is_refused_prints_nothing_that_could_be_applied() -> None:
    bad = POD + b"  hostNetwork: true\n"
    result = CliRunner().invoke(app, ["inject"], input=bad)
    assert (result.exit_code, result.stdout_bytes) == (2, b"")
    assert "document 1 (line 1), Pod one: spec.hostNetwork: " in result.stderr


def test_settings_come_from_a_file_and_from_options(tmp_path: Path) -> None:
    settings = tmp_path / "injector.yaml"
    settings.write_text("image: registry.example/attache:7\nmode: redirect\n")
    run = ["inject", "--settings", str(settings)]
    assert b"registry.example/attache:7" in CliRunner().invoke(app, run, input=POD).stdout_bytes
    strict = CliRunner().invoke(app, [*run, "--pod-security", "baseline"], input=POD)
    assert "'baseline'" in strict.stderr
    options = [*run, "--mode", "proxy", "--config-map", "mine", "--sidecars", "ordinary"]
    result = CliRunner().invoke(app, [*options, "--pod-security", "restricted"], input=POD)
    assert result.exit_code == 0
    assert b"configMap:\n        name: mine\n" in result.stdout_bytes
    assert b"exec sleep 20" in result.stdout_bytes


def test_ports_and_mode_come_from_the_configuration(tmp_path: Path) -> None:
    config = tmp_path / "attache.yaml"
    config.write_text(
        "workload: {name: a, namespace: b}\n"
        "listeners:\n"
        "  inbound: {port: 9443, application: 127.0.0.1:8000}\n"
        "  outbound: {port: 9001}\n"
        "routes: [{path: /, methods: [GET], anonymous: true}]\n"
    )
    probe = b"    readinessProbe:\n      httpGet: {path: /, port: 8000}\n"
    result = CliRunner().invoke(app, ["inject", "--config", str(config)], input=POD + probe)
    assert result.exit_code == 0
    assert b"{path: /, port: 9443}" in result.stdout_bytes
    assert result.stderr == ""
    assert b'"http://127.0.0.1:9001"' in result.stdout_bytes
    probe = b"    readinessProbe:\n      httpGet: {path: /healthz, port: 8000}\n"
    result = CliRunner().invoke(app, ["inject", "--config", str(config)], input=POD + probe)
    assert "its readinessProbe asks GET /healthz, which no route lets pass" in result.stderr
    config.write_text("workload: 7\n")
    result = CliRunner().invoke(app, ["inject", "--config", str(config)], input=POD)
    assert result.exit_code != 0


def test_a_wrong_option_or_setting_is_told(tmp_path: Path) -> None:
    settings = tmp_path / "injector.yaml"
    settings.write_text("image: registry.example/attache:7\nimages: 7\n")
    for options in (
        ["--pod-security", "none"],
        ["--mode", "tproxy"],
        [str(tmp_path / "absent.yaml")],
        ["--settings", str(settings)],
    ):
        result = CliRunner().invoke(app, ["inject", *options], input=POD)
        assert (result.exit_code != 0, result.stdout_bytes) == (True, b"")
