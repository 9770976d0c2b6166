"""How does a list get an entry more or less, and keep what people wrote around it? Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence

from agent.config.document import read
from agent.identity.revocation.entry import Entry, written
from agent.identity.revocation.listing import NotAList, read_list


def with_entry(content: bytes, entry: Entry, file: str) -> bytes:
    """Return the list in *content* with *entry*, which takes the place of one of the same id.

    Raises `NotAList` if *content* is none: nobody's mistake is written over.
    """
    entries = read_list(content, file)
    if any(entry.id == other.id for other in entries):
        content = without(content, lambda other: other.id == entry.id, file)
        entries = read_list(content, file)
    wanted = (*entries, entry)
    text = content.decode()
    if entries and not text.lstrip().startswith("["):
        indent = _indent(content, file)
        longer = f"{text.rstrip()}\n{indent}- {_json(entry)}\n".encode()
        if _reads_as(longer, wanted, file):
            return longer
    return canonical(wanted)


def without(content: bytes, goes: Callable[[Entry], bool], file: str) -> bytes:
    """Return the list in *content* without the entries that *goes* names; see `with_entry`."""
    entries = read_list(content, file)
    gone = {index for index, entry in enumerate(entries) if goes(entry)}
    if not gone:
        return content
    wanted = [entry for index, entry in enumerate(entries) if index not in gone]
    if wanted and not content.lstrip().startswith(b"["):
        shorter = _without_lines(content, gone, len(entries), file)
        if _reads_as(shorter, wanted, file):
            return shorter
    return canonical(wanted)


def canonical(entries: Iterable[Entry]) -> bytes:
    """A list as strict JSON, an entry a line."""
    lines = ",\n".join(f"  {_json(entry)}" for entry in entries)
    return f"[\n{lines}\n]\n".encode() if lines else b"[]\n"


def _json(entry: Entry) -> str:
    return json.dumps(written(entry), ensure_ascii=False)


def _reads_as(content: bytes, wanted: Sequence[Entry], file: str) -> bool:
    try:
        return read_list(content, file) == tuple(wanted)
    except NotAList:
        return False


def _indent(content: bytes, file: str) -> str:
    line = content.decode().splitlines()[read(content, file).line((0,)) - 1]
    return line[: len(line) - len(line.lstrip())]


def _without_lines(content: bytes, gone: Collection[int], count: int, file: str) -> bytes:
    """Cut the lines of each entry that goes; comments above the next one stay with that."""
    document = read(content, file)
    lines = content.decode().splitlines(keepends=True)
    starts = [document.line((index,)) - 1 for index in range(count)] + [len(lines)]
    for index in sorted(gone, reverse=True):
        end = starts[index + 1]
        while end > starts[index] + 1 and lines[end - 1].lstrip()[:1] in ("", "#"):
            end -= 1
        del lines[starts[index] : end]
    return "".join(lines).encode()
