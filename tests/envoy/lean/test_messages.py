"""What is in a message's envelope (gRPC over HTTP/2, Length-Prefixed-Message)."""

from __future__ import annotations

import gzip
import zlib

import pytest

from agent.envoy.lean.messages import LARGEST, Refused, Status, unwrap, wrap
from tests.envoy.lean.fake_peer import envelope


@pytest.mark.parametrize("message", [b"", b"a", b"\0" * 70_000])
def test_what_was_wrapped_is_unwrapped(message: bytes) -> None:
    assert wrap(message) == envelope(message)
    assert unwrap(wrap(message), "identity") == message


COMPRESSED = {"gzip": gzip.compress, "deflate": zlib.compress}


@pytest.mark.parametrize("encoding", COMPRESSED)
def test_a_compressed_message_is_read(encoding: str) -> None:
    message = b"a message that repeats itself, " * 100
    assert unwrap(envelope(COMPRESSED[encoding](message), 1), encoding) == message


def test_where_compression_is_announced_a_message_may_still_be_plain() -> None:
    assert unwrap(envelope(b"plain"), "gzip") == b"plain"


BOMB = gzip.compress(bytes(LARGEST + 1))
TWO = gzip.compress(b"one") + gzip.compress(b"two")
REFUSED = [
    ("nothing", b"", "identity", Status.INTERNAL),
    ("half a prefix", b"\0\0\0", "identity", Status.INTERNAL),
    ("less than it says", envelope(b"abc")[:-1], "identity", Status.INTERNAL),
    ("more than it says", envelope(b"abc") + b"d", "identity", Status.INTERNAL),
    ("two messages", envelope(b"a") + envelope(b"b"), "identity", Status.INTERNAL),
    ("too long", envelope(bytes(LARGEST + 1)), "identity", Status.RESOURCE_EXHAUSTED),
    ("a flag that nobody knows", envelope(b"abc", 2), "gzip", Status.INTERNAL),
    ("compressed by nothing", envelope(b"abc", 1), "identity", Status.INTERNAL),
    ("compressed by something else", envelope(b"abc", 1), "br", Status.UNIMPLEMENTED),
    ("not what it is announced as", envelope(b"abc", 1), "gzip", Status.INTERNAL),
    ("cut off", envelope(gzip.compress(b"abc" * 99)[:-9], 1), "gzip", Status.INTERNAL),
    ("with something after it", envelope(TWO, 1), "gzip", Status.INTERNAL),
    ("a bomb", envelope(BOMB, 1), "gzip", Status.RESOURCE_EXHAUSTED),
]


@pytest.mark.must(42)
@pytest.mark.parametrize(
    ("name", "body", "encoding", "status"), REFUSED, ids=[r[0] for r in REFUSED]
)
def test_a_body_that_is_no_one_message_ends_the_call(
    name: str, body: bytes, encoding: str, status: Status
) -> None:
    with pytest.raises(Refused) as refused:
        unwrap(body, encoding)
    assert refused.value.status is status


def test_the_largest_message_is_taken_compressed_or_not() -> None:
    message = bytes(LARGEST)
    assert unwrap(envelope(message), "identity") == message
    assert unwrap(envelope(gzip.compress(message), 1), "gzip") == message
