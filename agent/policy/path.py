"""Which path does a rule see? One spelling for each resource, or none at all (SECURITY.md 20).

Envoy's own normalisation still lets `/admin;a=b`, `%252e` and overlong UTF-8 pass (ENVOY.md), and
applications decode in their own ways. So a path with more than one possible reading is refused.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from agent.errors import Denial, Reason

MAX_PATH = 8192

# RFC 3986 §3.3 pchar, less ';' whose parameters some servers cut off, and '\' is never one.
_PLAIN = re.compile(r"/(?:[A-Za-z0-9._~!$&'()*+,=:@-]+/)*[A-Za-z0-9._~!$&'()*+,=:@-]*", re.ASCII)
_PCHARS = re.compile(r"[A-Za-z0-9._~!$&'()*+,=:@%/-]*", re.ASCII)
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})", re.ASCII)
_ENCODED = re.compile(r"%(?:[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})", re.ASCII)  # IIS reads %uXXXX too
_FORBIDDEN = re.compile(r"[/\\;\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class CanonicalPath:
    """A path with one reading: its decoded segments, without the query and a trailing slash."""

    text: str
    segments: tuple[str, ...]


def canonical(target: str) -> CanonicalPath | Denial:
    """Read the path of a request target (`/path?query`), or refuse it as `bad_path`.

    >>> canonical("/api/t%61sks/?all=1").segments
    ('api', 'tasks')
    >>> canonical("/api/%2e%2e/admin").detail
    'the path has a dot segment'
    """
    path = target.partition("?")[0]
    if len(path) > MAX_PATH:
        return _bad("the path is too long")
    if not path.startswith("/"):
        return _bad("the path does not start with a slash")
    if _PLAIN.fullmatch(path):
        segments = path[1:].split("/")
    else:
        decoded = _decode(path)
        if isinstance(decoded, Denial):
            return decoded
        segments = decoded
    if segments[-1] == "":  # the root, or a trailing slash: applications treat both spellings alike
        segments.pop()
    if "." in segments or ".." in segments:
        return _bad("the path has a dot segment")
    return CanonicalPath("/" + "/".join(segments), tuple(segments))


def _decode(path: str) -> list[str] | Denial:
    if not _PCHARS.fullmatch(path):
        return _bad("the path has a character that must be escaped, or path parameters")
    if "//" in path:
        return _bad("the path has an empty segment")
    if _ESCAPE.search(path):
        return _bad("the path has a broken percent-encoding")
    segments = []
    for raw in path[1:].split("/"):
        try:
            segment = unquote_to_bytes(raw).decode("utf-8")  # strict: overlong forms are refused
        except UnicodeDecodeError:
            return _bad("the path is not UTF-8")
        if _FORBIDDEN.search(segment):
            return _bad("the path has an encoded separator or control character")
        if _ENCODED.search(segment):
            return _bad("the path is encoded twice")
        if not segment.isascii() and _has_look_alike(segment):
            return _bad("the path has a character that some read as a dot or a separator")
        segments.append(segment)
    return segments


def _has_look_alike(segment: str) -> bool:
    """Whether compatibility normalisation (UAX #15) makes syntax of a full-width dot or slash."""
    plain = unicodedata.normalize("NFKC", segment)
    return plain in {".", ".."} or any(plain.count(mark) > segment.count(mark) for mark in "/\\;%")


def _bad(detail: str) -> Denial:
    return Denial(Reason.BAD_PATH, detail)
