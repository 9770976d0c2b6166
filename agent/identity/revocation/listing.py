"""What does a file's text say is revoked? A list in YAML or JSON, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.config.document import Document, Unreadable, read
from agent.config.finding import Finding, dotted
from agent.identity.revocation.entry import Entry, Mistake, read_entry
from agent.identity.strict_json import NotStrict, strict_object

MAX_ENTRIES = 10_000
MAX_BYTES = 4 * 1024 * 1024
# YAML is read by Python alone: longer, and "within 2 s" would not hold (0.3 ms an entry, measured).
MAX_YAML_BYTES = 256 * 1024
_TOLD = 5  # findings of one list


class NotAList(Exception):
    """The text is refused whole; `findings` say why."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("; ".join(str(finding) for finding in findings))
        self.findings = findings


def read_list(content: bytes, file: str) -> tuple[Entry, ...]:
    """Return the entries in *content*; raise `NotAList`. *file* is its name in findings."""
    if len(content) > MAX_BYTES:
        raise NotAList(Finding(0, "", f"the list is longer than {MAX_BYTES} bytes", _SHORTEN, file))
    values = _json(content)
    document = None
    if values is None:
        document = _yaml(content, file)
        values = document.content
    if not isinstance(values, list):
        raise NotAList(
            Finding(1, "", "this is not a list", "write '- ' before each entry, [] for none", file)
        )
    if len(values) > MAX_ENTRIES:
        reason = f"the list has {len(values)} entries, more than {MAX_ENTRIES}"
        raise NotAList(Finding(0, "", reason, _SHORTEN, file))
    read_ = [read_entry(value) for value in values]
    entries = tuple(entry for entry in read_ if isinstance(entry, Entry))
    if len(entries) < len(read_):
        raise NotAList(*_findings(read_, document or _lines(content, file), file))
    if document and document.duplicates:
        raise NotAList(*document.duplicates[:_TOLD])
    return entries


_SHORTEN = (
    "remove entries whose tokens have expired, or write one issuedBefore for their tenant or client"
)


def _json(content: bytes) -> list[Any] | None:
    """The list, where the text is JSON; None where it is not (then it is read as YAML)."""
    if not content.lstrip().startswith(b"["):
        return None
    try:
        whole = strict_object(b'{"list":' + content + b"}")
    except NotStrict:
        return None
    values = whole.get("list")
    return values if len(whole) == 1 and isinstance(values, list) else None


def _yaml(content: bytes, file: str) -> Document:
    if len(content) > MAX_YAML_BYTES:
        reason = f"a list in YAML has at most {MAX_YAML_BYTES} bytes"
        raise NotAList(
            Finding(0, "", reason, "write it as strict JSON, which is read faster", file)
        )
    try:
        return read(content, file)
    except Unreadable as unreadable:
        found = unreadable.finding
        if not content.strip() or found.reason == "the file holds no value":
            # A file that is being written is empty for a moment: that must not admit everybody.
            raise NotAList(
                Finding(0, "", "the file is empty", "write [] for an empty list", file)
            ) from None
        raise NotAList(found) from None


def _lines(content: bytes, file: str) -> Document | None:
    try:
        return _yaml(content, file)  # JSON is YAML, and YAML's reader knows the lines
    except NotAList:
        return None


def _findings(
    read_: Sequence[Entry | Mistake], document: Document | None, file: str
) -> tuple[Finding, ...]:
    found = []
    for index, mistake in enumerate(read_):
        if isinstance(mistake, Mistake):
            at = (index, mistake.member) if mistake.member else (index,)
            line = document.line(at) if document else 0
            found.append(Finding(line, dotted(at), mistake.reason, mistake.remedy, file))
            if len(found) == _TOLD:
                break
    return tuple(found)
