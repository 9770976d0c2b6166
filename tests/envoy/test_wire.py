"""The bytes that we write by hand are those that the compiled protos read and write."""

from __future__ import annotations

from collections.abc import Sequence

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse, OkHttpResponse
from hypothesis import given
from hypothesis import strategies as st

from agent.envoy import wire

Pairs = Sequence[tuple[str, str]]

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=300)
PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=6)


def option(name: str, value: str) -> HeaderValueOption:
    return HeaderValueOption(
        header=HeaderValue(key=name, value=value),
        append={"value": False},
        append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )


def filled(headers: Pairs, remove: list[str], told: Pairs, noted: Pairs = ()) -> bytes:
    names = [tuple(name for name, _ in pairs) for pairs in (headers, told, noted)]
    values = tuple(value for _, value in (*headers, *told, *noted))
    return wire.filled(names[0], tuple(remove), names[1], names[2], values)


@given(PAIRS, st.lists(TEXT, max_size=6), PAIRS, st.dictionaries(TEXT, TEXT, max_size=1))
def test_a_piece_is_what_protobuf_would_write(
    headers: Pairs, remove: list[str], told: Pairs, noted: dict[str, str]
) -> None:
    expected = CheckResponse(
        ok_response=OkHttpResponse(
            headers=[option(*pair) for pair in headers],
            headers_to_remove=remove,
            response_headers_to_add=[option(*pair) for pair in told],
        )
    )
    if noted:
        expected.dynamic_metadata.update(noted)
    assert filled(headers, remove, told, tuple(noted.items())) == expected.SerializeToString()
    if not told and not noted:
        assert wire.ok_response(headers, remove) == expected.SerializeToString()


@given(PAIRS, st.dictionaries(TEXT, TEXT, max_size=5))
def test_what_is_noted_reads_back_in_whatever_number(told: Pairs, noted: dict[str, str]) -> None:
    read = CheckResponse.FromString(filled((), [], told, tuple(noted.items())))
    assert {key: value.string_value for key, value in read.dynamic_metadata.fields.items()} == noted


@given(PAIRS, PAIRS)
def test_pieces_merge_into_one_message(
    first: list[tuple[str, str]], second: list[tuple[str, str]]
) -> None:
    joined = CheckResponse.FromString(
        wire.STATUS_OK + wire.ok_response(first, ["a"]) + wire.ok_response(second, ["b"])
    )
    assert joined.HasField("status")
    assert joined.status.code == 0
    assert [(o.header.key, o.header.value) for o in joined.ok_response.headers] == first + second
    assert list(joined.ok_response.headers_to_remove) == ["a", "b"]


def test_vary_joins_what_the_application_says_and_all_else_takes_its_place() -> None:
    expected = OkHttpResponse(
        response_headers_to_add=[
            HeaderValueOption(
                header=HeaderValue(key="vary", value="origin"), append={"value": True}
            ),
            option("x-a", "1"),
        ]
    )
    written = filled((), [], [("vary", "origin"), ("x-a", "1")])
    assert written == CheckResponse(ok_response=expected).SerializeToString()


@given(st.dictionaries(TEXT, TEXT, max_size=5))
def test_metadata_reads_back(entries: dict[str, str]) -> None:
    read = CheckResponse.FromString(wire.metadata(entries.items())).dynamic_metadata
    assert {key: value.string_value for key, value in read.fields.items()} == entries
