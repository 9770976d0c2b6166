"""What does a request's header block say (RFC 7541, RFC 9113 §8.3, gRPC over HTTP/2)?

We announce a header table of size 0. Once the peer does without one, a block means the same
wherever it stands, and one that was read before is recognised by its bytes. A peer that keeps a
table, as h2spec does, is read each time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from hpack import Decoder, Encoder
from hpack.exceptions import HPACKError

from agent.envoy.lean.frames import Broken, Error
from agent.envoy.lean.messages import Metadata

LARGEST = 16_384  # bytes of one header list
_KEPT = 512  # blocks that are recognised; then all are forgotten, which is cheap and bounded
_KEPT_BYTES = 2048  # longer ones are read each time

# gRPC over HTTP/2, Timeout: at most eight digits and a unit
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])", re.ASCII)
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+", re.ASCII)
_BAD_VALUE = re.compile(r"[\x00\r\n]")
_PSEUDO = frozenset({":method", ":scheme", ":path", ":authority"})
# RFC 9113 §8.2.2: what speaks of a connection has no place in a request
_CONNECTION = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
)


class Malformed(Exception):
    """A request that is none (RFC 9113 §8.1.1): its stream ends, the connection goes on."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a request's headers ask for. `seconds` is None without a grpc-timeout.

    `grpc` is False for requests that are not gRPC at all. `encoding` is how a compressed message
    is compressed; `length` the announced content-length; `metadata` are all headers but the pseudo
    ones, equal names joined by commas.
    """

    path: str
    grpc: bool
    seconds: float | None
    encoding: str
    length: int | None
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)


class HeadReader:
    """Reads the header blocks of one connection, in their order."""

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=LARGEST)
        self._known: dict[bytes, Head] = {}
        self._told = False  # the peer knows that there is to be no table
        self._without_table = False  # and it does without one

    def no_table(self) -> None:
        """The peer acknowledged our settings. It may keep its table, but not ask for a larger."""
        self._told = True

    def read(self, block: bytes) -> Head:
        """A request's head; `Malformed`, or `Broken` where nothing after it could be read."""
        if known := self.known(block):
            return known
        without_table = self._without_table
        head = head_of(self._decode(block))
        # With no table before it and none after, it refers to nothing but itself.
        if without_table and self._without_table and len(block) <= _KEPT_BYTES:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[block] = head
        return head

    def known(self, block: bytes) -> Head | None:
        """What *block* says, if it was read before and means the same wherever it stands."""
        return self._known.get(block) if self._without_table else None

    def skip(self, block: bytes) -> None:
        """Read a block that nobody is interested in: it may change the table."""
        self._decode(block)

    def _decode(self, block: bytes) -> list[tuple[str, str]]:
        if self._told and _wants_table(block):
            raise Broken(Error.COMPRESSION_ERROR, "a header table larger than we offer")
        try:
            found = [(str(name), str(value)) for name, value in self._decoder.decode(block)]
        except (HPACKError, IndexError, ValueError) as error:
            # IndexError: hpack's own answer to some truncated blocks, found by fuzzing
            raise Broken(Error.COMPRESSION_ERROR, f"an unreadable header block: {error}") from None
        self._without_table = self._decoder.header_table_size == 0
        return found


def _wants_table(block: bytes) -> bool:
    """Whether *block* begins with an update to a table of any size but 0 (RFC 7541 §6.3)."""
    for byte in block:
        if byte & 0xE0 != 0x20:
            return False
        if byte != 0x20:
            return True
    return False


def head_of(headers: list[tuple[str, str]]) -> Head:
    """The head of a request with these *headers*; `Malformed` by RFC 9113 §8.2 and §8.3."""
    pseudo: dict[str, str] = {}
    regular: dict[str, str] = {}
    for name, value in headers:
        if name.startswith(":"):
            if name not in _PSEUDO or name in pseudo or regular:
                raise Malformed("a pseudo-header is unknown, repeated or late")
            pseudo[name] = value
        else:
            _refuse(name, value)
            regular[name] = f"{regular[name]},{value}" if name in regular else value
    if not (pseudo.get(":method") and pseudo.get(":scheme") and pseudo.get(":path")):
        raise Malformed("a pseudo-header is missing")
    return Head(
        path=pseudo[":path"],
        grpc=pseudo[":method"] == "POST" and _is_grpc(regular.get("content-type", "")),
        seconds=timeout(regular.get("grpc-timeout")),
        encoding=regular.get("grpc-encoding", "identity"),
        length=_length(regular.get("content-length")),
        metadata=regular,
    )


def timeout(text: str | None) -> float | None:
    """A grpc-timeout in seconds.

    >>> timeout("4500m")
    4.5
    """
    if text is None:
        return None
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise Malformed("grpc-timeout is no duration")
    return int(match[1]) * _UNITS[match[2]]


def _is_grpc(content: str) -> bool:
    kind, _, rest = content.partition("grpc")
    return kind == "application/" and rest[:1] in ("", "+", ";")


def _refuse(name: str, value: str) -> None:
    if not _NAME.fullmatch(name) or _BAD_VALUE.search(value):
        raise Malformed("a header has a name or a value that it may not have")
    if name in _CONNECTION or (name == "te" and value != "trailers"):
        raise Malformed("a header speaks of the connection")


def _length(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Malformed("content-length is no number")
    return int(text)


def encode(headers: list[tuple[str, str]]) -> bytes:
    """A header block of literals that are never indexed: it may be written anywhere."""
    block: bytes = Encoder().encode([(name, value, True) for name, value in headers], huffman=False)
    return block


_GRPC = ("content-type", "application/grpc")
ANSWER = encode([(":status", "200"), _GRPC])
WELL = encode([("grpc-status", "0")])
NOT_GRPC = encode([(":status", "415"), ("content-type", "text/plain")])


def failure(status: int, why: str, metadata: Metadata = ()) -> bytes:
    """The one header block of a call that failed: "trailers only" of gRPC over HTTP/2."""
    return encode([(":status", "200"), _GRPC, *_ended(status, why), *metadata])


def trailers(status: int, why: str, metadata: Metadata = ()) -> bytes:
    """The last header block of a call that failed after it was answered in part."""
    return encode([*_ended(status, why), *metadata])


def _ended(status: int, why: str) -> list[tuple[str, str]]:
    told = quote(why, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
    return [("grpc-status", str(status)), ("grpc-message", told)]
