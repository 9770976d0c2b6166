"""How does attache.yaml become the typed configuration, or a list of what is wrong with it?"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ValidationError

from agent.config.attache import Attache
from agent.config.document import MAX_BYTES, Document, Unreadable, read
from agent.config.explanation import explain
from agent.config.finding import ConfigInvalid, Finding, Location, dotted

__all__ = ["ConfigInvalid", "Finding", "content_of", "load", "missing_files", "parse"]

# made by us, not found
_OURS: frozenset[Location] = frozenset(
    {
        ("agent", "socket"),
        ("revocation", "snapshot"),
        ("tokenService", "socket"),
        ("storedTokens", "store", "file", "path"),
        ("storedTokens", "mounted"),  # it may be taken away once it was used
    }
)
_FOLDER: Location = ("internalTokens", "keys")


def load(path: Path | str) -> Attache:
    """Return the configuration in the file *path*; raise `ConfigInvalid` with every finding."""
    return parse(content_of(path), str(path))


def content_of(path: Path | str) -> bytes:
    """Return the file's bytes, at most one more than allowed; raise `ConfigInvalid`."""
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        reason, remedy = "this is a folder", "name the file in it, as folder/attache.yaml"
    except FileNotFoundError:
        reason, remedy = "the file does not exist", "check the path and the mount"
    except PermissionError:
        reason, remedy = "the file is not readable", "let the agent's user read it"
    except (OSError, ValueError) as error:
        reason, remedy = f"the file cannot be read ({error})", "check the path and the mount"
    raise ConfigInvalid([Finding(0, "", reason, remedy, str(path))])


def parse(content: bytes, file: str) -> Attache:
    """Return the configuration in *content*; *file* is its name in findings."""
    document = _document(content, file)
    if not isinstance(document.content, dict):
        raise ConfigInvalid(
            [
                Finding(
                    document.line(()),
                    "",
                    "the file is no mapping",
                    "begin it with 'workload:' and 'listeners:'",
                    file,
                )
            ]
        )
    try:
        config = Attache.model_validate(document.content)
    except ValidationError as error:
        raise ConfigInvalid(
            [*document.duplicates, *explain(error, document, file)]
        ) from None  # the model's error repeats values, and one may be a secret
    if document.duplicates:
        raise ConfigInvalid(document.duplicates)
    return config


def _document(content: bytes, file: str) -> Document:
    try:
        return read(content, file)
    except Unreadable as unreadable:
        raise ConfigInvalid([unreadable.finding]) from None


def missing_files(config: Attache, path: Path | str | None = None) -> list[Finding]:
    """Return a finding for every file that *config* names and that cannot be read.

    Relative paths start at the working directory. With the *path* that the configuration came
    from, findings carry its name and their lines.
    """
    document = _document(content_of(path), str(path)) if path is not None else None
    findings = []
    for location, file in _files(config, ()):
        keys = tuple(part for part in location if isinstance(part, str))
        problem = None if keys in _OURS else _unusable(file, location == _FOLDER)
        if problem is not None:
            line = document.line(location) if document else 0
            findings.append(Finding(line, dotted(location), *problem, str(path or "")))
    return findings


def _files(value: object, at: Location) -> Iterator[tuple[Location, Path]]:
    if isinstance(value, Path):
        yield at, value
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _files(item, (*at, index))
    elif isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            yield from _files(getattr(value, name), (*at, str(info.alias)))


def _unusable(file: Path, folder: bool) -> tuple[str, str] | None:
    try:
        if file.is_dir() and not folder:
            return f"'{file}' is a folder", "name the file in it"
        if file.is_dir():
            if any(not entry.name.startswith(".") for entry in file.iterdir()):
                return None
            return f"the folder '{file}' is empty", "mount or make what belongs there"
        if not file.exists():
            return f"'{file}' does not exist", "mount the Secret or ConfigMap, or correct the path"
        if not os.access(file, os.R_OK):
            return f"'{file}' is not readable", "let the agent's user read it"
        if not file.stat().st_size and file.is_file():
            return f"'{file}' is empty", "write its content"
    except OSError as error:
        return f"'{file}' cannot be read ({error.strerror})", "check the path and the mount"
    return None
