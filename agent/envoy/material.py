"""What do the files hold now by which Envoy knows a TLS destination, and shows itself there?

Envoy can read them itself, but it notices only files that are moved into place. Read here, each
change counts, however it was written, and a half-written pair never takes the place of a good one.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from agent.config.attache import Attache
from agent.config.destinations import Destination
from agent.pem import wrong_authorities, wrong_pair

log = logging.getLogger("attache.ads")

Contents = Mapping[str, tuple[bytes, ...]]
"""For each secret, what its files hold: authorities, or a certificate and its key."""
NOTHING_READ: Contents = MappingProxyType({})
MAX_FILE = 1024 * 1024

Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one secret, and what is wrong with contents (empty: nothing)."""

    secret: str
    said: str
    files: tuple[Path, ...]
    wrong: Callable[..., str]


@dataclass(frozen=True, slots=True)
class _Read:
    stamp: Stamp
    good: tuple[bytes, ...] | None = field(repr=False)
    problem: str


def places(config: Attache) -> Iterator[Place]:
    """The files that *config* names for its TLS destinations."""
    for destination in config.called:
        tls = destination.tls
        if tls is None:
            continue
        said = f"destination '{destination.name}'"
        if tls.ca_file:
            yield Place(authority_of(destination), said, (tls.ca_file,), wrong_authorities)
        if tls.certificate_file and tls.key_file:
            files = (tls.certificate_file, tls.key_file)
            yield Place(certificate_of(destination), said, files, wrong_pair)


def authority_of(destination: Destination) -> str:
    """Return the secret that holds the authorities trusted with *destination*."""
    return f"authority_{destination.name}"


def certificate_of(destination: Destination) -> str:
    """Return the secret that is our client certificate at *destination*."""
    return f"certificate_{destination.name}"


def named(secret: str, contents: Contents) -> str:
    """Return the name under which Envoy knows *secret*: another one for other contents.

    A cluster that names it is another cluster then. Envoy makes that one ready beside the old,
    and closes the old one's connections, which were made with what has been replaced.
    """
    read = contents.get(secret)
    if not read:
        return secret
    digest = hashlib.sha256()
    for content in read:
        digest.update(len(content).to_bytes(8, "big") + content)
    return f"{secret}_{digest.hexdigest()[:12]}"


class Material:
    """Reads the files again when they have changed; what was good last is kept."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, tuple[Path, ...]], _Read] = {}

    @property
    def problems(self) -> list[str]:
        """What an operator has to mend, a sentence each."""
        return [read.problem for read in self._held.values() if read.problem]

    def look(self, config: Attache) -> Contents:
        """What the files of *config* hold, without those that were never good.

        Those Envoy is left to read by itself: they may be mounted for it alone.
        """
        held = {}
        for place in places(config):
            key = (place.secret, place.files)
            held[key] = _again(place, self._held.get(key))
        self._held = held
        return {secret: read.good for (secret, _), read in held.items() if read.good}


def _again(place: Place, before: _Read | None) -> _Read:
    stamp = _stamp(place.files)
    # A file that was found in the middle of being written may be finished within one tick of mtime
    if before and before.stamp == stamp and stamp and not before.problem:
        return before
    good, problem = _read(place)
    if before and problem:
        good = before.good
        if good:
            problem += " What they held before stays in use."
    read = _Read(stamp, good, problem)
    if problem and (before is None or before.problem != problem):
        log.error("%s", problem)
    elif before and not problem and (before.problem or good != before.good):
        log.info("%s: Envoy gets the new content of %s", place.said, _paths(place.files))
    return read


def _read(place: Place) -> tuple[tuple[bytes, ...] | None, str]:
    paths = _paths(place.files)
    try:
        contents = tuple(_content(path) for path in place.files)
    except OSError as error:
        return None, (
            f"{place.said}: {paths} cannot be read ({error.strerror}). Mount it for the agent; "
            "Envoy tries to read it by itself."
        )
    if max(map(len, contents)) > MAX_FILE:
        return None, f"{place.said}: {paths} is larger than 1 MiB. Name the right file."
    if wrong := place.wrong(*contents):
        return None, f"{place.said}: {paths}: {wrong}. Correct it; it is reread at once."
    return contents, ""


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_FILE + 1)


def _stamp(files: tuple[Path, ...]) -> Stamp:
    try:
        found = [path.stat() for path in files]
    except OSError:
        return ()
    return tuple((each.st_mtime_ns, each.st_size, each.st_ino) for each in found)


def _paths(files: tuple[Path, ...]) -> str:
    return " and ".join(str(path) for path in files)
