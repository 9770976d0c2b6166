"""When does what stands in a file end? Read anew when the file has changed.

The end of a certificate is in it. The end of a secret nobody can see: it stands in a file beside
it, `<file>.expires`, or in the configuration.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.utils import CryptographyDeprecationWarning

from agent.config.fields import instant
from agent.expiry.sources import Source
from agent.expiry.table import Fact, Kind, written

BESIDE = ".expires"
MAX_FILE = 1 << 20  # bytes: a bundle of every public authority has a quarter of that
_MAX_BESIDE = 256

_Signature = tuple[tuple[int, int, int, int] | None, ...]


class Reader:
    """Reads sources into facts; files that stand as they stood are not read again."""

    def __init__(self) -> None:
        self._known: dict[Source, tuple[_Signature, Fact]] = {}

    def facts(self, sources: Iterable[Source], now: float) -> tuple[Fact, ...]:
        """One fact for each of *sources*; a file that cannot be read is a fact too."""
        known: dict[Source, tuple[_Signature, Fact]] = {}
        for source in sources:
            signature = (_signature(source.file), _signature(_beside(source.file)))
            before = self._known.get(source)
            if before is None or before[0] != signature or before[1].problem:
                before = (signature, fact(source, now))
            known[source] = before
        self._known = known
        return tuple(found for _, found in known.values())


def fact(source: Source, now: float) -> Fact:
    """What the file of *source* says at *now*."""
    name, file = source.name, str(source.file)
    try:
        ends = (
            _secret(source)
            if source.kind is Kind.SECRET
            else _certificates(source.kind, _content(source.file, MAX_FILE), now)
        )
    except OSError as error:
        why = f"it cannot be read ({error.strerror}). Mount it readable for this process"
        return Fact(source.kind, name, file, problem=why)
    except ValueError as error:
        return Fact(source.kind, name, file, problem=str(error))
    return Fact(source.kind, name, file, ends)


def _secret(source: Source) -> float | None:
    with source.file.open("rb"):
        pass  # what is missing or closed to us is said, whatever its end
    try:
        said = _content(_beside(source.file), _MAX_BESIDE).decode("utf-8", "replace").strip()
    except FileNotFoundError:
        return source.expires
    try:
        return instant(said)
    except ValueError:
        raise ValueError(
            f"{_beside(source.file)} holds no time. Write one like 2026-12-31 or "
            "2026-12-31T23:59:59Z into it, or remove it"
        ) from None


def _certificates(kind: Kind, content: bytes, now: float) -> float:
    found = _parsed(content)
    if not found:
        raise ValueError("it holds no certificate. Write one in PEM, or a PFX without password")
    ends = [one.not_valid_after_utc.timestamp() for one in found]
    if kind is Kind.AUTHORITY:
        return max(ends)  # while one of them is valid, somebody can be trusted by it
    begins = found[0].not_valid_before_utc.timestamp()
    if begins > now:
        raise ValueError(f"it is valid only from {written(begins)} on. Set the clock right")
    return min(ends)  # one link that has ended breaks the chain


def _parsed(content: bytes) -> list[x509.Certificate]:
    try:
        if b"-----BEGIN" in content:
            with warnings.catch_warnings():  # public bundles hold old sins, which are not ours
                warnings.simplefilter("ignore", CryptographyDeprecationWarning)
                return x509.load_pem_x509_certificates(content)
        _, leaf, chain = pkcs12.load_key_and_certificates(content, None)
        return [one for one in (leaf, *chain) if one is not None]
    except (ValueError, TypeError):
        return []


def _content(path: Path, most: int) -> bytes:
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most} bytes. Name the right file")
    return content


def _beside(path: Path) -> Path:
    return path.with_name(path.name + BESIDE)


def _signature(path: Path) -> tuple[int, int, int, int] | None:
    """What changes when the file does, a swapped `..data` link included: stat follows links."""
    try:
        at = os.stat(path)  # noqa: PTH116 - the same call, and no second object for each look
    except OSError:
        return None
    return at.st_ino, at.st_mtime_ns, at.st_ctime_ns, at.st_size
