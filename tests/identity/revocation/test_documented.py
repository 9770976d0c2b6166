"""Every example of docs/revocation.md is one that loads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.config.loading import parse
from agent.identity.revocation.entry import MEMBERS, Entry
from agent.identity.revocation.listing import MAX_ENTRIES, read_list
from agent.identity.revocation.redis_source import SMALL, WHOLE, read_text
from agent.identity.revocation.state import LOST_AFTER

TEXT = (Path(__file__).parents[3] / "docs" / "revocation.md").read_text()
YAML = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)
BASE = """\
workload: {name: w}
listeners: {inbound: {application: "127.0.0.1:8000"}}
routes: [{path: /, anonymous: true}]
"""


@pytest.mark.parametrize("section", [text for text in YAML if text.startswith("revocation:")])
def test_a_documented_section_is_valid(section: str) -> None:
    rules = parse((BASE + section).encode(), "docs/revocation.md").revocation
    assert rules is not None


def test_the_documented_list_says_every_member() -> None:
    (text,) = (text for text in YAML if not text.startswith("revocation:"))
    entries = read_list(text.encode(), "revoked.yaml")
    assert len(entries) == 6
    assert {name for name in MEMBERS if any(getattr(entry, name) for entry in entries)} == set(
        MEMBERS
    )
    for member in MEMBERS.values():
        assert f"| `{member}` |" in TEXT


def test_the_documented_commands_write_an_entry_to_redis() -> None:
    (written,) = re.findall(r"HSET attache:revoked anna '(.*)'", TEXT)
    entry = read_text(written.encode())
    assert isinstance(entry, Entry)
    assert entry.subject == "anna"


def test_the_documented_numbers_are_those_of_the_code() -> None:
    for words in (
        f"{MAX_ENTRIES:,} entries in 4 MiB",
        f"more than {SMALL} is overwritten",
        f"within {WHOLE:.0f} seconds",
        f"not answered for {LOST_AFTER:.0f} seconds",
    ):
        assert words in TEXT.replace("\n", " "), words
