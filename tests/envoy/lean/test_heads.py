"""What a header block says (RFC 7541, RFC 9113 §8, gRPC over HTTP/2)."""

from __future__ import annotations

import pytest
from hpack import Decoder, Encoder

from agent.envoy.lean import heads
from agent.envoy.lean.frames import Broken, Error
from agent.envoy.lean.heads import Head, HeadReader, Malformed, head_of, timeout
from tests.envoy.lean.fake_peer import Pairs, head


def encoded(pairs: Pairs, encoder: Encoder | None = None) -> bytes:
    block: bytes = (encoder or tableless()).encode(pairs)
    return block


def tableless() -> Encoder:
    """An encoder as Envoy's is after our SETTINGS."""
    encoder = Encoder()
    encoder.header_table_size = 0
    return encoder


def test_a_grpc_request_is_read() -> None:
    pairs = head(("grpc-timeout", "5S"), ("grpc-encoding", "gzip"), ("content-length", "17"))
    assert HeadReader().read(encoded(pairs)) == Head("/s/M", True, 5.0, "gzip", 17)


def test_a_table_that_grows_is_followed_block_by_block() -> None:
    """The second block names what the first put into the table: read alone it would be nothing."""
    encoder, reader = Encoder(), HeadReader()
    first = encoded(head(("x-team", "blue")), encoder)
    second = encoded(head(("x-team", "blue")), encoder)
    assert len(second) < len(first) / 3
    assert reader.read(first) == reader.read(second)
    with pytest.raises(Broken):
        HeadReader().read(second)


def test_with_a_table_the_same_bytes_may_mean_another_path() -> None:
    """So blocks are recognised by their bytes only once the peer does without a table."""
    reader = HeadReader()
    rest = heads.encode(head(without=":path"))
    newest = b"\xbe" + rest  # index 62: the entry that the table was given last
    for path in (b"/s/One", b"/s/Two"):
        reader.skip(b"\x44" + bytes([len(path)]) + path)  # :path, to be put into the table
        assert reader.read(newest).path == path.decode()


def test_without_a_table_a_block_is_read_once_and_recognised_afterwards() -> None:
    reader, encoder = HeadReader(), tableless()
    reader.read(encoded(head(), encoder))  # begins with the update to a table of size 0
    block = encoded(head(), encoder)
    assert reader.read(block) is reader.read(block)


def test_a_table_that_comes_back_ends_the_recognising() -> None:
    reader, encoder = HeadReader(), tableless()
    reader.read(encoded(head(), encoder))
    block = encoded(head(), encoder)
    known = reader.read(block)
    reader.read(b"\x3f\xe1\x1f" + block)  # "my table has 4,096 bytes again"
    assert reader.read(block) is not known
    assert reader.read(block) == known


def test_no_more_than_so_many_blocks_are_remembered_and_no_long_ones() -> None:
    reader, encoder = HeadReader(), tableless()
    reader.read(encoded(head(), encoder))
    for n in range(2000):
        reader.read(encoded(head(("x-n", str(n))), encoder))
    assert len(reader._known) <= heads._KEPT
    long = encoded(head(("x-long", "y" * 5000)), encoder)
    assert reader.read(long) is not reader.read(long)


#  the size that a block asks for: what becomes of it before and after our settings were taken
UPDATES = [
    ("20", True, True),
    ("3f e1 1f", True, False),  # 4,096
    ("3f e2 1f", False, False),  # 4,097: more than was ever allowed
    ("20 3f e1 1f", True, False),
    ("3f e1 1f 20", True, False),
]


@pytest.mark.parametrize(("update", "before", "after"), UPDATES)
def test_a_table_size_update_is_held_against_what_we_announced(
    update: str, before: bool, after: bool
) -> None:
    # RFC 7541 §6.3: no larger than the limit of the protocol, which is 0 once it was acknowledged
    block = bytes.fromhex(update) + encoded(head(), Encoder())
    for told, taken in ((False, before), (True, after)):
        reader = HeadReader()
        if told:
            reader.no_table()
        if taken:
            reader.read(block)
            continue
        with pytest.raises(Broken) as broken:
            reader.read(block)
        assert broken.value.code is Error.COMPRESSION_ERROR


UNREADABLE = [
    ("the index of nothing", "ff ff ff 7f"),
    ("index 0", "80"),
    ("an integer without end", "ff" * 40),
    ("a literal that is cut off", "40 0a 61"),
    ("a name that is cut off", "40"),
    ("Huffman padding that is not all ones", "82 40 81 ff 81 00"),
    ("an update after the first field", "82 20"),
    ("a value of 4 GiB", "40 01 61 7f ff ff ff ff 0f"),
]


@pytest.mark.parametrize(("name", "block"), UNREADABLE, ids=[r[0] for r in UNREADABLE])
def test_an_unreadable_block_ends_the_connection_by_one_kind_of_error(
    name: str, block: str
) -> None:
    """PERFORMANCE.md: 2,573 of 30,000 fuzzed blocks raised something else in a prototype."""
    for read in (HeadReader().read, HeadReader().skip):
        with pytest.raises(Broken) as broken:
            read(bytes.fromhex(block))
        assert broken.value.code is Error.COMPRESSION_ERROR


@pytest.mark.must(42)
def test_a_bomb_of_references_is_refused_by_the_size_of_its_list() -> None:
    """RFC 7541 §7.3: one large entry, named again and again."""
    encoder, reader = Encoder(), HeadReader()
    block = encoded(head(("x-bomb", "f" * 3900)), encoder) + b"\xbe" * 1000
    with pytest.raises(Broken):
        reader.read(block)


def test_a_skipped_block_changes_the_table_all_the_same() -> None:
    encoder, reader = Encoder(), HeadReader()
    reader.skip(encoded([("x-trailer", "of an older call")], encoder))
    assert reader.read(encoded(head(("x-trailer", "of an older call")), encoder)).path == "/s/M"


_LENGTHS = ("+3", "-1", "3,5", "", "9" * 16)
_DURATIONS = ("5", "S", "-1S", "123456789S", "5s")
MALFORMED = [
    *((f"without {name}", head(without=name)) for name in (":method", ":scheme", ":path")),
    *((f"an empty {name}", [(name, ""), *head(without=name)]) for name in (":method", ":path")),
    *((f"two {name}", [(name, "x"), *head()]) for name in (":method", ":scheme", ":path")),
    ("an unknown pseudo-header", [(":forged", "x"), *head()]),
    ("a pseudo-header of answers", [(":status", "200"), *head()]),
    ("a late pseudo-header", head((":protocol", "x"))),
    ("a capital", head(("X-Team", "blue"))),
    ("a space in a name", head(("x team", "blue"))),
    ("no name", head(("", "blue"))),
    ("a line break in a value", head(("x-team", "blue\r\nx: y"))),
    ("a NUL in a value", head(("x-team", "bl\0ue"))),
    *((name, head((name, "x"))) for name in ("connection", "keep-alive", "upgrade")),
    *((name, head((name, "x"))) for name in ("proxy-connection", "transfer-encoding")),
    ("te is more than trailers", head(("te", "gzip"), without="te")),
    *((f"content-length {n}", head(("content-length", n))) for n in _LENGTHS),
    *((f"grpc-timeout {t}", head(("grpc-timeout", t))) for t in _DURATIONS),
]  # fmt: skip


@pytest.mark.parametrize(("name", "pairs"), MALFORMED, ids=[r[0] for r in MALFORMED])
def test_a_malformed_request_is_no_request(name: str, pairs: Pairs) -> None:
    with pytest.raises(Malformed):
        head_of(pairs)


CONTENT = [
    ("application/grpc", True),
    ("application/grpc+proto", True),
    ("application/grpc;charset=utf-8", True),
    ("application/grpc-web", False),
    ("application/json", False),
    ("text/application/grpc", False),
]


@pytest.mark.parametrize(("content", "grpc"), CONTENT)
def test_only_grpc_is_grpc(content: str, grpc: bool) -> None:
    assert head_of(head(("content-type", content), without="content-type")).grpc is grpc
    assert not head_of([(":method", "GET"), *head(without=":method")]).grpc


TIMEOUTS = [
    ("2H", 7200.0),
    ("3M", 180.0),
    ("5S", 5.0),
    ("4500m", 4.5),
    ("250000u", 0.25),
    ("99999999n", 0.099999999),
    ("0S", 0.0),
]


@pytest.mark.must(39)
@pytest.mark.parametrize(("text", "seconds"), TIMEOUTS)
def test_a_timeout_is_read_in_each_of_its_units(text: str, seconds: float) -> None:
    assert timeout(text) == pytest.approx(seconds)


def test_no_timeout_is_no_limit() -> None:
    assert timeout(None) is None


@pytest.mark.parametrize("why", ["plain", "100 % \n\0 Zoë", ""])
def test_why_a_call_failed_is_told_percent_encoded(why: str) -> None:
    """gRPC over HTTP/2, Status-Message: whatever it is, it makes no second header."""
    block = heads.failure(8, why)
    fields = dict(Decoder().decode(block))
    assert fields["grpc-status"] == "8"
    assert fields["grpc-message"].isascii()
    assert fields["grpc-message"].isprintable()


def test_our_own_blocks_may_be_written_anywhere_for_they_touch_no_table() -> None:
    decoder = Decoder()
    for block in (heads.ANSWER, heads.WELL, heads.NOT_GRPC, heads.failure(2, "x")):
        alone = Decoder().decode(block)
        assert decoder.decode(block) == alone
        assert not decoder.header_table.dynamic_entries
