"""A file's text is a list, whole or not at all; what is wrong is named by its line."""

from __future__ import annotations

import json

import pytest

from agent.identity.revocation.entry import Entry
from agent.identity.revocation.listing import (
    MAX_BYTES,
    MAX_ENTRIES,
    MAX_YAML_BYTES,
    NotAList,
    read_list,
)

GOOD = """\
# who left
- subject: 5f0c-anna
  tenant: t1
- {tokenId: j1, until: 2026-12-01T00:00:00Z, note: "lost phone: Bob's"}
- issuedBefore: 1970-01-01T00:01:40Z
"""


def test_yaml_and_json_say_the_same() -> None:
    entries = read_list(GOOD.encode(), "f")
    assert entries[0] == Entry(subject="5f0c-anna", tenant="t1")
    assert entries[1].token_id == "j1"
    assert entries[2] == Entry(issued_before=100.0)
    text = '[{"subject":"5f0c-anna","tenant":"t1"},{"issuedBefore":100}]'
    assert read_list(text.encode(), "f") == (entries[0], entries[2])
    assert read_list(b"[]", "f") == read_list(b"# none\n[]\n", "f") == ()


# text → line, part of what is said
REFUSED: list[tuple[str, int, str]] = [
    ("", 0, "write [] for an empty list"),
    (" \n", 0, "write []"),
    ("# nobody\n", 0, "write []"),
    ("subject: a\n", 1, "not a list"),
    ("{}", 1, "not a list"),
    ("- subject: a\n-\n", 2, "mapping"),
    ("- subject: a\n- tenant: t\n  subjct: b\n", 3, "subjct"),
    ("- subject: a\n- {}\n", 2, "without a selector"),
    ("- subject: a\n  subject: b\n", 2, "twice"),
    ("- subject: a\n - b", 2, "YAML"),
    ("- subject: 0123\n", 1, "quotes"),
    ('[{"subject":"a"},\n {"until":1}]', 2, "without a selector"),
    ('[{"subject":"a","subject":"b"}]', 1, "twice"),
    ('[{"subject":"a"}', 1, "YAML"),
    ('[{"subject":"a"}],"list":[]', 1, "YAML"),
    ("- subject: a\n---\n- subject: b\n", 2, "second document"),
]


@pytest.mark.must(43)
@pytest.mark.parametrize(("text", "line", "part"), REFUSED, ids=[repr(row[0]) for row in REFUSED])
def test_a_list_with_a_mistake_is_refused_whole(text: str, line: int, part: str) -> None:
    with pytest.raises(NotAList) as refused:
        read_list(text.encode(), "revoked.yaml")
    finding = refused.value.findings[0]
    assert finding.line == line
    assert part in str(refused.value)
    assert "Remedy" in str(refused.value)


@pytest.mark.must(42)
def test_a_list_is_bounded_in_bytes_and_entries() -> None:
    entries = [{"subject": str(n)} for n in range(MAX_ENTRIES + 1)]
    assert len(read_list(json.dumps(entries[:-1]).encode(), "f")) == MAX_ENTRIES
    for content, part in (
        (json.dumps(entries).encode(), "entries, more than"),
        (b"[" + b" " * MAX_BYTES + b"]", "bytes"),
        (b"- subject: a\n" * (MAX_YAML_BYTES // 13 + 1), "JSON"),
    ):
        with pytest.raises(NotAList, match=part):
            read_list(content, "f")
