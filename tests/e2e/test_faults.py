"""What happens when something is missing, wrong, slow or killed (issue 3, bad input and faults)."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from demo import people
from demo.child import Child
from demo.journeys import gateway, suite, tasks
from demo.journeys.asking import ask
from demo.load import Load
from demo.pod import Pod, listens, plain, tool
from demo.stage import Stage
from demo.waiting import until

pytestmark = pytest.mark.e2e

Small = Callable[..., Stage]


# The identity provider


@pytest.mark.must(40, 44)
def test_an_agent_starts_without_its_identity_provider_says_so_and_recovers(small: Small) -> None:
    stage = small("profile")
    pod, ed = stage.pods["profile"], stage.people["ed"]
    stage.start_idp()  # once, for its CA and a token
    early = stage.idp.person(ed, people.SUITE_SCOPE)
    stage.idp_process.stop()

    pod.start()
    pod.envoy.come_up(lambda: _status(f"{pod.url}/healthz") == 200)  # needs no identity provider
    ready = pod.admin("/readyz")
    assert ready.status_code == 503
    assert "entra" in ready.text
    assert pod.admin("/livez").status_code == 200
    answer = ask(pod, "GET", "/me", early)
    assert answer.shown() == "503 issuer_unavailable"

    stage.start_idp()
    until(lambda: pod.admin("/readyz").status_code == 200, "readiness", 90)
    token = stage.idp.person(ed, people.SUITE_SCOPE)
    until(lambda: ask(pod, "GET", "/me", token).get("id") == ed.id, "Ed's own answer", 90)


@pytest.mark.must(38, 39)
@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "hang"},
        {"kind": "reset"},
        {"kind": "html_error", "status": 502},
        {"kind": "throttle", "retry_after": 1},
    ],
    ids=lambda fault: str(fault["kind"]),
)
def test_an_identity_provider_that_fails_midway_costs_the_notification_not_the_task(
    stage: Stage, fault: dict[str, Any]
) -> None:
    bearer = stage.idp.person(stage.people["zoe"], people.TASKS_SCOPE)
    stage.idp.control("POST", "faults", {**fault, "endpoint": "token", "grant": "jwt-bearer"})
    try:
        answer = tasks.create(stage, bearer, "while the provider is away")
        assert (answer.status, answer.get("audit_status")) == (201, "logged")
        assert answer.get("notification_status") == "failed"
        denied = [
            record
            for record in stage.decisions(answer.correlation, at_least=4)
            if record["decision"] == "deny"
        ]
        assert [record["destination"] for record in denied] == ["notification"]
        assert denied[0]["reason"] in ("issuer_unavailable", "deadline", "rate_limited")
    finally:
        stage.idp.control("DELETE", "faults")

    def works_again() -> bool:
        fresh = stage.idp.person(stage.people["zoe"], people.TASKS_SCOPE)
        return str(tasks.create(stage, fresh, "back").get("notification_status")) == "sent"

    until(works_again, "a notification after the fault", 60)


def test_a_wrong_client_secret_is_503_for_the_caller_and_a_remedy_for_the_operator(
    small: Small,
) -> None:
    stage = small("tasks")
    pod, secret = stage.pods["tasks"], stage.folder / "secrets" / "task-api"
    right = secret.read_text()
    secret.write_text("not-the-secret-at-all")
    stage.start_idp()
    pod.start()
    pod.envoy.come_up(lambda: _status(f"{pod.url}/healthz") == 200)
    pod.envoy.come_up(lambda: listens(pod.at.outbound))
    until(lambda: "entra" not in pod.admin("/readyz").text, "the issuer's keys", 30)

    bearer = stage.idp.person(stage.people["ada"], people.TASKS_SCOPE)
    answer = tasks.create(stage, bearer, "with a wrong secret")
    assert (answer.status, answer.get("notification_status")) == (201, "failed")
    reasons = {
        record["destination"]: record["reason"]
        for record in stage.decisions(answer.correlation, at_least=3)
        if record["direction"] == "outbound"
    }
    assert reasons == {"notification": "credential_error", "audit": "credential_error"}
    refused = _through(pod, "http://audit.shop:8002/entries")
    assert refused.status_code == 503  # never 401: clients would loop
    assert refused.json()["type"] == "urn:attache:credential_error"
    log = pod.agent.log.read_text()
    line = next(line for line in log.splitlines() if "7000215" in line)
    assert "secret" in line
    assert "task-api" in line
    assert "not-the-secret-at-all" not in log

    secret.write_text(right)  # the operator corrects the mounted file

    def logged() -> bool:
        fresh = stage.idp.person(stage.people["ada"], people.TASKS_SCOPE)
        made = tasks.create(stage, fresh, "with the right secret")
        record = next(
            r
            for r in stage.decisions(made.correlation, at_least=3)
            if r["destination"] == "notification"
        )
        return str(record["decision"]) == "allow"

    until(logged, "the new secret's use", 60)


# Starting


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        (None, ["does not exist"]),
        ("workload: [", [":1"]),
        ("", ["workload"]),
        ("workload: {name: x}\nlisteners: {}\nisuers: []\n", ["isuers", ":3"]),
        (
            "workload: {name: x}\nlisteners:\n  outbound: {port: 15001}\n"
            "destinations:\n  - name: a\n    hosts: [a]\n"
            "    credential: {obo: {identity: nobody, scopes: [x]}}\n",
            ["nobody", "does not exist", ":7"],
        ),
    ],
    ids=["missing", "no yaml", "empty", "unknown key", "dangling"],
)
def test_a_missing_or_broken_configuration_ends_with_2_and_says_where_and_why(
    tmp_path: Path, text: str | None, sentences: list[str]
) -> None:
    file = tmp_path / "attache.yaml"
    if text is not None:
        file.write_text(text)
    for command in (["run", "--config", str(file)], ["check", str(file)]):
        ended = _attache(*command)
        assert ended.returncode == 2, ended
        assert "Traceback" not in ended.stderr
        for sentence in sentences:
            assert sentence in ended.stderr


def test_the_printed_bootstrap_is_the_one_that_envoy_was_started_with(stage: Stage) -> None:
    pod = stage.pods["gateway"]
    printed = _attache("envoy", "bootstrap", "--config", str(pod.config))
    assert printed.returncode == 0
    assert json.loads(printed.stdout) == json.loads((pod.folder / "envoy.json").read_text())


def test_an_admin_port_in_use_is_a_sentence_that_names_it(small: Small) -> None:
    stage = small("inventory")
    pod = stage.pods["inventory"]
    with socket.create_server(("127.0.0.1", pod.at.admin)):
        pod.start_agent()
        assert pod.agent.wait() not in (0, 2)
    tail = pod.agent.tail()
    assert str(pod.at.admin) in tail
    assert "taken by another process" in tail
    assert "Traceback" not in tail


def test_a_socket_that_another_agent_answers_on_is_a_sentence_too(small: Small) -> None:
    stage = small("inventory")
    pod = stage.pods["inventory"]
    pod.start_agent()
    pod.agent.come_up(lambda: _status(f"http://127.0.0.1:{pod.at.admin}/livez") == 200)
    other = pod.folder / "other.yaml"
    text = pod.config.read_text()
    other.write_text(text.replace(f":{pod.at.admin}", f":{stage.free_port()}"))
    command = [tool("attache"), "run", "--config", str(other)]
    second = Child("a second agent", command, pod.folder / "second.log")
    second.start()
    assert second.wait() not in (0, 2)
    assert str(pod.folder / "agent.sock") in second.tail()
    assert "Traceback" not in second.tail()
    assert pod.agent.running


def test_an_inbound_port_in_use_is_said_by_envoy_through_the_agent(small: Small) -> None:
    stage = small("inventory")
    pod = stage.pods["inventory"]
    with socket.create_server(("127.0.0.1", pod.at.inbound)):
        pod.start_agent()
        pod.start_envoy()

        def said() -> bool:
            text = pod.agent.log.read_text() if pod.agent.log.exists() else ""
            return str(pod.at.inbound) in text and "in use" in text

        until(said, "a word about the port in the agent's log", 30)
        assert str(pod.at.inbound) in json.dumps(pod.admin("/status").json()["xds"])


# Killed and started again


@pytest.mark.must(37)
@pytest.mark.parametrize("way", ["kill", "stop"])
def test_an_agent_killed_or_stopped_under_load_costs_no_inbound_request(
    stage: Stage, way: str
) -> None:
    pod = stage.pods["profile"]
    bearer = stage.idp.person(stage.people["ed"], people.SUITE_SCOPE)
    with Load(lambda s: s.get(f"{pod.url}/me", headers=bearer.headers, timeout=30)) as load:
        for _ in range(2):
            getattr(pod.agent, way)()
            pod.agent.start()
            pod.come_up()
            load.more(50)
    assert set(load.statuses) == {200}, (load.statuses, load.examples)
    assert load.total > 100


def test_an_envoy_that_was_killed_gets_everything_anew_from_the_agent(stage: Stage) -> None:
    pod = stage.pods["portal"]
    pod.envoy.kill()
    with pytest.raises(requests.ConnectionError):
        ask(pod, "GET", "/healthz")
    pod.start_envoy()
    pod.come_up()
    found = suite.run(stage)
    assert [check for check in found.checks if not check.ok] == []


# Reload


@pytest.fixture
def portal(stage: Stage) -> Iterator[Pod]:
    pod = stage.pods["portal"]
    before = pod.config.read_text()
    yield pod
    _replace(pod.config, before)
    until(
        lambda: (
            pod.admin("/status").json()["configuration"]["error"] is None
            and _through(pod, "http://mirror.shop:8007/me").json()["type"]
            == "urn:attache:destination_not_allowed"
        ),
        "the old configuration",
        30,
    )


@pytest.mark.must(43)
def test_a_changed_configuration_reaches_envoy_and_an_invalid_one_changes_nothing(
    stage: Stage, portal: Pod
) -> None:
    text = portal.config.read_text()
    bearer = stage.idp.person(stage.people["ed"], people.SUITE_SCOPE)
    mirror = "http://mirror.shop:8007/me"
    assert _reason(_through(portal, mirror)) == "destination_not_allowed"
    page = f"{portal.url}/pages/reload"
    with Load(lambda s: s.get(page, headers=bearer.headers, timeout=30), threads=2) as load:
        hosts = '"profile.shop:8007", "mirror.shop:8007"'
        _replace(portal.config, text.replace('"profile.shop:8007"', hosts))
        # nobody stands behind this call: the destination is known now, its subject is not
        until(lambda: _reason(_through(portal, mirror)) == "no_subject", "the new host", 30)
        load.more(30)

        _replace(portal.config, text.replace("issuers:", "isuers:"))
        until(
            lambda: portal.admin("/status").json()["configuration"]["error"],
            "a word about the invalid change",
            30,
        )
        error = portal.admin("/status").json()["configuration"]["error"]
        assert "isuers" in error
        until(lambda: "isuers" in portal.agent.log.read_text(), "the same in the log", 10)
        assert _reason(_through(portal, mirror)) == "no_subject"  # the one before, whole
        load.more(30)
    assert set(load.statuses) == {200}, (load.statuses, load.examples)


# What is written


@pytest.mark.must(45)
def test_no_output_of_any_process_holds_a_token_or_a_secret(stage: Stage) -> None:
    for journey in (tasks.run, gateway.run, suite.run):
        journey(stage)
    bearer = stage.idp.person(stage.people["ada"], people.TASKS_SCOPE)
    broken = people.Bearer(bearer.text[:-4] + "AAAA", {})
    assert ask(stage.pods["tasks"], "GET", "/api/tasks", broken).status == 401
    lost = ask(stage.pods["tasks"], "GET", f"/elsewhere?access_token={bearer.text}", bearer)
    assert lost.reason == "no_route"
    assert _through(stage.pods["tasks"], "http://audit.shop:8002/", bearer).status_code

    secrets = {user.password for user in stage.directory.users}
    secrets |= {secret.value for app in stage.directory.apps for secret in app.secrets}
    for file in (stage.folder / "keys").rglob("*.pem"):
        secrets |= {line for line in file.read_text().splitlines() if "-----" not in line}
    assert len(secrets) > 200
    written = _everything_written(stage)
    assert len(written) >= 9 * 7
    found = [
        (source, what)
        for source, text in written.items()
        for what in (*(s[:12] + "…" for s in secrets if s in text), *_tokens(text))
    ]
    assert found == []


def _everything_written(stage: Stage) -> dict[str, str]:
    written = {}
    for child in stage.children:
        written[f"output of {child.name}"] = child.log.read_text(errors="replace")
    for pod in stage.pods.values():
        written[f"audit of {pod.name}"] = pod.decisions_file.read_text()
        for path in ("/metrics", "/status", "/readyz", "/.well-known/jwks.json"):
            written[f"{path} of {pod.name}"] = pod.admin(path).text
        envoy = f"http://127.0.0.1:{pod.at.envoy_admin}"
        for path in ("/config_dump", "/stats"):
            written[f"Envoy's {path} of {pod.name}"] = plain().get(envoy + path, timeout=10).text
    return written


def _tokens(text: str) -> list[str]:
    """The beginnings of what looks like a JWS: two parts of JSON in base64."""
    return [found[:16] + "…" for found in re.findall(r"eyJ[\w-]+\.eyJ[\w-]+", text)]


def _reason(answer: requests.Response) -> str:
    return str(answer.json()["type"]).removeprefix("urn:attache:")


def _through(pod: Pod, url: str, bearer: people.Bearer | None = None) -> requests.Response:
    """Call out as the program would, with no inbound request behind it."""
    with plain() as session:
        return session.get(
            url,
            proxies={"http": pod.proxy},
            headers=bearer.headers if bearer else {},
            timeout=30,
        )


def _status(url: str) -> int:
    try:
        return plain().get(url, timeout=5).status_code
    except requests.RequestException:
        return 0


def _replace(file: Path, text: str) -> None:
    """Write as an operator's tool does: whole, and at once."""
    new = file.with_suffix(".new")
    new.write_text(text)
    shutil.move(new, file)


def _attache(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("attache"), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
