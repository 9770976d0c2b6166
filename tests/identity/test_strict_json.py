"""What is one JSON object to every reader, and what is not (SECURITY.md 6)."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.identity.strict_json import NotStrict, strict_object


def nested(depth: int) -> bytes:
    """An object with so many levels, itself the first."""
    return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.must(6)
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b'{"a":1,"a":1}', id="duplicate member"),
        pytest.param(b'{"a":{"b":1,"b":2}}', id="duplicate member inside"),
        pytest.param(b'{"a":1,"\\u0061":2}', id="duplicate member in another spelling"),
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b'{"a":Infinity}', id="Infinity"),
        pytest.param(b'{"a":-Infinity}', id="minus Infinity"),
        pytest.param(b'{"a":1e999}', id="an infinity in disguise"),
        pytest.param(b'{"a":"\\ud800"}', id="lone high surrogate"),
        pytest.param(b'{"a":"\\udc00"}', id="lone low surrogate"),
        pytest.param(b'{"\\ud800":1}', id="lone surrogate in a name"),
        pytest.param(b'{"a":["\\ud83d"]}', id="lone surrogate in a list"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', id="surrogate in UTF-8"),
        pytest.param(b'{"a":"\xff"}', id="not UTF-8"),
        pytest.param(b'{"a":"\xc0\xaf"}', id="overlong UTF-8"),
        pytest.param(b"\xef\xbb\xbf{}", id="byte order mark"),
        pytest.param("{}".encode("utf-16"), id="UTF-16"),
        pytest.param("{}".encode("utf-16-le"), id="UTF-16 LE"),
        pytest.param("{}".encode("utf-32-be"), id="UTF-32 BE"),
        pytest.param(nested(17), id="nested 17 deep"),
        pytest.param(nested(100_000), id="nested 100,000 deep"),
        pytest.param(b'{"a":' * 5000, id="nested and never closed"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"null", id="null"),
        pytest.param(b'"text"', id="a string"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"1", id="a number"),
        pytest.param(b"{} {}", id="two objects"),
        pytest.param(b" \n", id="white space"),
        pytest.param(b"\x0b{}", id="a vertical tab before it"),
        pytest.param(b"{}\x0c", id="a form feed after it"),
        pytest.param(b"\xc2\xa0{}", id="a no-break space before it"),
        pytest.param(b"{}\xe2\x80\xa8", id="a line separator after it"),
        pytest.param(b"{},", id="trailing comma"),
        pytest.param(b'{"a":1,}', id="trailing comma inside"),
        pytest.param(b"{'a':1}", id="single quotes"),
        pytest.param(b'{"a":"\x00"}', id="control character"),
        pytest.param(b'{"a":"\n"}', id="line end in a string"),
        pytest.param(b'{"a":01}', id="leading zero"),
        pytest.param(b'{"a":' + b"9" * 5000 + b"}", id="5,000 digits"),
        pytest.param(b"{/**/}", id="comment"),
        pytest.param(b"{}\x00", id="trailing NUL"),
        pytest.param(b"<html></html>", id="HTML"),
    ],
)
def test_a_text_with_no_single_meaning_is_refused(raw: bytes) -> None:
    with pytest.raises(NotStrict):
        strict_object(raw)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"{}", {}),
        (b' {"a" : 1 }\r\n\t', {"a": 1}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        (b'{"a":"[[[[[[[[[[[[[[[[[[[[{{{\\"{"}', {"a": '[[[[[[[[[[[[[[[[[[[[{{{"{'}),
        (b'{"a":"\\\\","b":[]}', {"a": "\\", "b": []}),
        (b'{"a":{"x":1},"b":{"x":1}}', {"a": {"x": 1}, "b": {"x": 1}}),
        (b'{"a":1.5e3}', {"a": 1500.0}),
    ],
)
def test_plain_objects_are_read(raw: bytes, value: object) -> None:
    assert strict_object(raw) == value


def test_sixteen_levels_are_the_last_that_pass() -> None:
    assert strict_object(nested(16))
    many = b'{"a":[' + b",".join([b"{}"] * 50) + b"]}"
    assert len(strict_object(many)["a"]) == 50


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_what_json_writes_is_read_back(value: dict[str, object]) -> None:
    assert strict_object(json.dumps(value).encode()) == value


MEMBERS = st.recursive(
    st.lists(st.tuples(st.sampled_from("abcde"), st.just(1)), max_size=5),
    lambda inner: st.lists(st.tuples(st.sampled_from("abcde"), inner | st.just(1)), max_size=4),
    max_leaves=6,
)


def written(members: object) -> str:
    """Members, or a number, as JSON; a name as it is or as an escape."""
    if not isinstance(members, list):
        return str(members)
    names = [name if at % 2 else f"\\u{ord(name):04x}" for at, (name, _) in enumerate(members)]
    inside = (f'"{name}":{written(v)}' for name, (_, v) in zip(names, members, strict=True))
    return "{" + ",".join(inside) + "}"


def twice(members: object) -> bool:
    """Whether a name stands twice in one of these objects."""
    if not isinstance(members, list):
        return False
    names = [name for name, _ in members]
    return len(set(names)) < len(names) or any(twice(value) for _, value in members)


@pytest.mark.must(6)
@settings(max_examples=500, deadline=None)
@given(MEMBERS)
def test_an_object_is_refused_exactly_when_some_member_occurs_twice(members: object) -> None:
    refused = False
    try:
        strict_object(written(members).encode())
    except NotStrict:
        refused = True
    assert refused is twice(members)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80) | st.text(alphabet='{}[]",:\\u0d8a1e-', max_size=40).map(str.encode))
def test_any_bytes_are_an_object_or_not_strict_and_nothing_else(raw: bytes) -> None:
    with contextlib.suppress(NotStrict):
        assert isinstance(strict_object(raw), dict)
