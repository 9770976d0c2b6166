"""What did Envoy ask, and how is it told? And nothing that Envoy would take for an allow."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from envoy.config.core.v3.base_pb2 import HeaderMap, HeaderValue, HeaderValueOption
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from envoy.type.v3.http_status_pb2 import StatusCode
from hypothesis import given
from hypothesis import strategies as st

from agent.envoy.check import NotARequest, allow, deny, read
from agent.errors import STATUS, Denial, Reason
from agent.flow.decision import Allow
from agent.flow.problem import Answer, Challenger, answer
from agent.flow.request import Direction


def question(
    extensions: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
    raw: Iterable[HeaderValue] = (),
) -> bytes:
    message = CheckRequest()
    attributes = message.attributes
    for key, value in ({"direction": "inbound"} if extensions is None else extensions).items():
        attributes.context_extensions[key] = value
    http = attributes.request.http
    http.method, http.path, http.host = "POST", "/api/tasks?a=1", "shop.example:8080"
    for key, value in (headers or {}).items():
        http.headers[key] = value
    http.header_map.CopyFrom(HeaderMap(headers=list(raw)))
    encoded: bytes = message.SerializeToString()
    return encoded


def test_a_question_is_read() -> None:
    request = read(question(headers={"authorization": "Bearer x", ":authority": "y"}))
    assert request.direction is Direction.INBOUND
    assert (request.method, request.target) == ("POST", "/api/tasks?a=1")
    assert request.host == "shop.example:8080"
    assert request.header("authorization") == "Bearer x"
    assert request.header("absent") == ""
    assert request.headers.get("absent") is None
    assert (request.destination, request.passthrough) == ("", False)


EXTENSIONS = [
    ({"direction": "outbound", "destination": "audit"}, "audit", False),
    ({"direction": "outbound", "unmatched": "passthrough"}, "", True),
    ({"direction": "outbound", "unmatched": "deny"}, "", False),
    ({"direction": "outbound", "unmatched": "PASSTHROUGH"}, "", False),
    ({"direction": "outbound", "unmatched": "true"}, "", False),
]


@pytest.mark.must(25)
@pytest.mark.parametrize(("extensions", "destination", "passthrough"), EXTENSIONS)
def test_the_destination_comes_from_our_route(
    extensions: dict[str, str], destination: str, passthrough: bool
) -> None:
    headers = {"destination": "forged", "x-envoy-destination": "forged", "direction": "inbound"}
    extensions = extensions | {"headers": "listed"}
    request = read(question(extensions, headers))
    assert request.direction is Direction.OUTBOUND
    assert (request.destination, request.passthrough) == (destination, passthrough)


NOT_REQUESTS = [
    b"",
    b"\x00",
    b"\xff\xff\xff\xff",
    b"GET / HTTP/1.1\r\n\r\n",
    b'{"attributes": {}}',
    question()[:-3],
    question() + b"\x0a",
    CheckResponse().SerializeToString(),
    question({}),
    question({"direction": ""}),
    question({"direction": "Inbound"}),
    question({"direction": "inbound "}),
    question({"direction": "both"}),
    question({"destination": "audit"}),
    question({}, {"direction": "inbound"}),
    # an inner field that is not UTF-8
    question().replace(b"/api/tasks", b"/api/t\xffsks"),
]


@pytest.mark.must(17)
@pytest.mark.parametrize("message", NOT_REQUESTS, ids=range(len(NOT_REQUESTS)))
def test_what_is_no_question_is_not_guessed_at(message: bytes) -> None:
    with pytest.raises(NotARequest):
        read(message)


WITH_BODY = CheckRequest.FromString(question())
WITH_BODY.attributes.request.http.body = "x"
WITH_RAW_BODY = CheckRequest.FromString(question())
WITH_RAW_BODY.attributes.request.http.raw_body = b"x"
NO_HTTP = CheckRequest.FromString(question())
NO_HTTP.attributes.request.ClearField("http")

MISTAKES = [
    (question({}), "direction: inbound"),
    (question({"direction": "inbuond"}), "say direction 'inbuond'. Write inbound or outbound"),
    (WITH_BODY.SerializeToString(), "Remove with_request_body"),
    (WITH_RAW_BODY.SerializeToString(), "Remove with_request_body"),
    (NO_HTTP.SerializeToString(), "HTTP filter envoy.filters.http.ext_authz"),
    (question({"direction": "outbound", "unmatched": "passthrough"}), "headers: listed"),
]


@pytest.mark.parametrize(("message", "remedy"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_in_envoys_configuration_is_told_with_its_remedy(
    message: bytes, remedy: str
) -> None:
    with pytest.raises(NotARequest) as mistake:
        read(message)
    assert remedy in str(mistake.value)


def test_passthrough_with_every_header_shown_is_a_request() -> None:
    extensions = {"direction": "outbound", "unmatched": "passthrough"}
    assert read(question(extensions, {":path": "/"})).passthrough


def test_a_route_without_a_direction_is_told_what_to_write() -> None:
    with pytest.raises(NotARequest, match="context_extensions"):
        read(question({}))


@pytest.mark.must(17)
@given(st.binary(max_size=200) | st.binary(max_size=20).map(question().__add__))
def test_any_bytes_are_a_question_or_not_one(message: bytes) -> None:
    try:
        request = read(message)
    except NotARequest:
        return
    assert request.direction in Direction


RAW = [
    ([HeaderValue(key="a", raw_value=b"1")], {"a": "1"}),
    ([HeaderValue(key="a", value="1")], {"a": "1"}),
    ([HeaderValue(key="A-B", raw_value=b"1")], {"a-b": "1"}),
    ([HeaderValue(key="a", raw_value=b"")], {"a": ""}),
    ([HeaderValue(key="a", raw_value=b"\xe9\xff")], {"a": "éÿ"}),
    # as in the other form: two of a name are one with a comma, which is no bearer
    (
        [
            HeaderValue(key="authorization", raw_value=b"Bearer a"),
            HeaderValue(key="Authorization", raw_value=b"Bearer b"),
        ],
        {"authorization": "Bearer a,Bearer b"},
    ),
    (
        [HeaderValue(key="a", raw_value=b""), HeaderValue(key="a", raw_value=b"1")],
        {"a": ",1"},
    ),
]


@pytest.mark.must(14)
@pytest.mark.parametrize(("raw", "headers"), RAW, ids=range(len(RAW)))
def test_headers_in_raw_form_are_read_alike(
    raw: list[HeaderValue], headers: dict[str, str]
) -> None:
    assert dict(read(question(raw=raw)).headers) == headers


def response(encoded: bytes) -> CheckResponse:
    return CheckResponse.FromString(encoded)


def test_an_allow_is_told_whole() -> None:
    told = response(
        allow(
            Allow.of(
                (("x-auth-kind", "user"), ("x-auth-name", "J\tü")), ("x_auth_kind",), (("t", "é"),)
            ),
            "c-1",
        )
    )
    assert told.status.code == 0
    assert told.WhichOneof("http_response") == "ok_response"
    headers = [(o.header.key, o.header.value) for o in told.ok_response.headers]
    assert headers == [("x-auth-kind", "user"), ("x-auth-name", "J\tü")]
    assert list(told.ok_response.headers_to_remove) == ["x_auth_kind"]
    back = told.ok_response.response_headers_to_add
    assert [(o.header.key, o.header.value) for o in back] == [("x-correlation-id", "c-1")]
    assert dict(told.dynamic_metadata.items()) == {"t": "é"}


def test_without_metadata_there_is_none() -> None:
    assert not response(allow(Allow.of((), ()), "c-1")).HasField("dynamic_metadata")


def options(told: CheckResponse) -> list[HeaderValueOption]:
    return [
        *told.ok_response.headers,
        *told.ok_response.response_headers_to_add,
        *told.denied_response.headers,
    ]


@pytest.mark.must(19)
@pytest.mark.parametrize(
    "encoded",
    [
        allow(Allow.of((("x-auth-kind", "user"), ("authorization", "Bearer x")), ()), "c-1"),
        deny(answer(Denial(Reason.RATE_LIMITED, "x", retry_after=1), "c-1", Challenger())),
        deny(answer(Denial(Reason.INVALID_TOKEN, "x"), "c-1", Challenger())),
    ],
    ids=["allow", "503", "401"],
)
def test_every_header_overwrites_in_every_version_of_envoy(encoded: bytes) -> None:
    found = options(response(encoded))
    assert len(found) >= 3
    for option in found:
        assert option.HasField("append")
        assert option.append.value is False
        assert option.append_action == HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        assert option.header.raw_value == b""  # ENVOY.md, measured: it made an empty header


NAMES_REFUSED = [
    ":path",
    ":method",
    ":authority",
    ":scheme",
    ":status",
    "host",
    "Host",
    "X-Auth-Kind",
    "",
    " x",
    "x y",
    "x\n",
    "x:y",
    "-x",
    "é",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
]


@pytest.mark.must(19)
@pytest.mark.parametrize("name", NAMES_REFUSED)
def test_a_header_that_envoy_would_obey_wrongly_is_never_written(name: str) -> None:
    with pytest.raises(ValueError, match="is not a header that we may write"):
        allow(Allow.of(((name, "x"),), ()), "c-1")
    with pytest.raises(ValueError, match="is not a header that we may write"):
        deny(Answer(403, ((name, "x"),), ""))


CONTROLS = [chr(n) for n in range(32) if n != 9] + ["\x7f"]


@pytest.mark.must(22)
@pytest.mark.parametrize("control", CONTROLS, ids=ascii)
def test_a_value_with_a_control_character_is_never_written(control: str) -> None:
    for value in (control, f"a{control}", f"a{control}x-auth-roles: Admin"):
        with pytest.raises(ValueError, match="control character"):
            allow(Allow.of((("x-auth-name", value),), ()), "c-1")
        with pytest.raises(ValueError, match="control character"):
            deny(Answer(403, (("x", value),), ""))
        with pytest.raises(ValueError, match="control character"):
            allow(Allow.of((), ()), value)


def test_a_value_that_is_no_text_is_never_written() -> None:
    with pytest.raises(UnicodeEncodeError):
        allow(Allow.of((("x-auth-name", "\ud800"),), ()), "c-1")


@pytest.mark.must(45)
def test_the_mistake_does_not_print_the_value() -> None:
    with pytest.raises(ValueError, match="authorization") as mistake:
        allow(Allow.of((("authorization", "Bearer secret\n"),), ()), "c-1")
    assert "secret" not in str(mistake.value)


@pytest.mark.must(19)
def test_a_header_that_is_set_and_removed_is_a_mistake_for_envoy_would_remove_it() -> None:
    with pytest.raises(ValueError, match="x-auth-kind"):
        allow(Allow.of((("x-auth-kind", "user"), ("b", "")), ("a", "x-auth-kind")), "c-1")


@pytest.mark.must(17, 18)
@pytest.mark.parametrize("reason", list(Reason))
def test_every_denial_is_told_so_that_envoy_denies(reason: Reason) -> None:
    made = answer(Denial(reason, "no"), "c-1", Challenger())
    told = response(deny(made))
    assert told.status.code == (16 if STATUS[reason] == 401 else 7)
    assert told.WhichOneof("http_response") == "denied_response"
    denied = told.denied_response
    assert denied.status.code == STATUS[reason]
    assert denied.status.code in StatusCode.values()  # Envoy's validation knows no others
    assert denied.body == made.body
    assert tuple((o.header.key, o.header.value) for o in denied.headers) == made.headers


@pytest.mark.must(17, 18)
@pytest.mark.parametrize("status", [-1, 0, 1, 100, 200, 204, 299, 302, 399, 600, 1000])
def test_a_denial_with_another_status_is_never_told(status: int) -> None:
    with pytest.raises(ValueError, match="as a success"):
        deny(Answer(status, (), ""))


HEADER = st.tuples(st.text(max_size=6), st.text(max_size=6))


@pytest.mark.must(17, 19)
@given(st.lists(HEADER, max_size=3), st.lists(st.text(max_size=6), max_size=3), st.text(max_size=4))
def test_what_is_told_as_an_allow_is_well_formed(
    headers: list[tuple[str, str]], removed: list[str], correlation: str
) -> None:
    try:
        encoded = allow(Allow.of(tuple(headers), tuple(removed)), correlation)
    except ValueError:
        return
    for option in options(response(encoded)):
        assert re.fullmatch(r"[a-z0-9][a-z0-9_-]*", option.header.key)
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f]", option.header.value)


@pytest.mark.must(17)
@given(
    st.integers(-1000, 2000),
    st.lists(st.tuples(st.sampled_from(["a", "www-authenticate"]), st.text("ab\n ")), max_size=2),
    st.text(max_size=10),
)
def test_no_denial_ever_has_code_0(status: int, headers: list[tuple[str, str]], body: str) -> None:
    try:
        told = response(deny(Answer(status, tuple(headers), body)))
    except ValueError:
        return
    assert told.status.code != 0
    assert told.WhichOneof("http_response") == "denied_response"
    assert 400 <= told.denied_response.status.code <= 599
