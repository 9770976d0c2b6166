"""Does a person at the terminal revoke, see and take back exactly what was meant?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agent.cli_revocations import app

PAST, FUTURE = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"


class Terminal:
    """The commands, against one list in a file."""

    def __init__(self, folder: Path) -> None:
        self.list = folder / "revoked.yaml"
        self.config = folder / "attache.yaml"
        self.config.write_text(
            "workload: {name: orders}\n"
            "issuers: [{name: as, oidc: {issuer: 'https://as.example', audiences: [orders]}}]\n"
            "listeners: {inbound: {application: 127.0.0.1:8000}}\n"
            'routes: [{path: "/**", anonymous: true}]\n'
            f"revocation: {{file: {self.list}}}\n"
        )

    def say(self, *words: str) -> Result:
        return CliRunner().invoke(app, [words[0], "--config", str(self.config), *words[1:]])

    def listed(self) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.say("list", "--json").stdout)
        return said


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


def test_what_was_revoked_is_listed_and_can_be_taken_back(terminal: Terminal) -> None:
    added = terminal.say("add", "--subject", "ann", "--until", FUTURE, "--note", "left")
    name = added.stdout.partition(":")[0]
    assert terminal.listed() == {name: {"subject": "ann", "until": FUTURE, "note": "left"}}
    assert "ann" in terminal.say("list").stdout
    assert terminal.say("remove", name).exit_code == 0
    assert terminal.listed() == {}


def test_prune_removes_what_has_ended_and_nothing_else(terminal: Terminal) -> None:
    terminal.list.write_text(
        f"- {{subject: ann, until: {PAST}}}\n"
        f"- {{subject: bob, until: {FUTURE}}}\n"
        "- {session: s-1}\n"
    )
    pruned = terminal.say("prune")
    assert (pruned.exit_code, pruned.stdout) == (0, "ended and removed: 1\n")
    left = terminal.listed().values()
    assert [each.get("subject", each.get("session")) for each in left] == ["bob", "s-1"]
    assert terminal.say("prune").stdout.endswith(": 0\n")


REFUSED = [
    (("add",), "without a selector"),
    (("add", "--issued-before", "now"), "--everyone"),
    (("add", "--subject", "ann", "--until", PAST), "later --until"),
    (("add", "--subject", "ann", "--for", "long"), "30m, 8h"),
    (("add", "--token-file", "absent"), "cannot be read"),
    (("remove", "nobody"), "not in the list"),
]


@pytest.mark.parametrize(("words", "why"), REFUSED, ids=lambda each: str(each)[:40])
def test_a_slip_is_refused_and_revokes_nothing(
    terminal: Terminal, words: tuple[str, ...], why: str
) -> None:
    terminal.list.write_text("[]\n")
    said = terminal.say(*words)
    assert said.exit_code == 1
    assert why in said.stderr
    assert terminal.listed() == {}
