"""What does the application see of its caller? Nothing that anyone else wrote."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.flow.headers import IDENTITY, MAX_VALUE, OVERRIDES, Badge, safe_value, underscored
from agent.identity.principal import Kind, Principal, Verified

Anna = Callable[..., Principal]
MakeVerified = Callable[..., Verified]

WRITTEN = [
    ({}, "x-auth-kind", "user"),
    ({"kind": Kind.APP}, "x-auth-kind", "app"),
    ({}, "x-auth-subject", "anna-oid"),
    ({}, "x-auth-tenant", "t1"),
    ({"tenant": ""}, "x-auth-tenant", None),
    ({}, "x-auth-client", "web"),
    ({"client": ""}, "x-auth-client", None),
    ({}, "x-auth-issuer", "https://login.example/t1/v2.0"),
    ({"scopes": frozenset({"write", "read"})}, "x-auth-scopes", "read write"),
    ({"scopes": frozenset()}, "x-auth-scopes", None),
    ({"roles": frozenset({"b", "a"})}, "x-auth-roles", "a,b"),
    ({"roles": frozenset({"a,b"})}, "x-auth-roles", "a%2Cb"),
    ({"roles": frozenset()}, "x-auth-roles", None),
    ({}, "x-auth-name", "Anna"),
    ({"claims": {}}, "x-auth-name", None),
    ({"claims": {"name": "José"}}, "x-auth-name", "Jos%C3%A9"),
    ({"claims": {"name": 7}}, "x-auth-name", "7"),
    ({"claims": {"name": True}}, "x-auth-name", "true"),
    ({"claims": {"name": None}}, "x-auth-name", None),
    ({"claims": {"name": {"a": "b"}}}, "x-auth-name", None),
    ({"claims": {"name": ["a", "b,c"]}}, "x-auth-name", "a,b%2Cc"),
    ({"claims": {"name": ("a", "b")}}, "x-auth-name", "a,b"),
    ({"claims": {"name": ["a", 1]}}, "x-auth-name", None),
    ({"claims": {"email": "a@b", "preferred_username": "c"}}, "x-auth-email", "a@b"),
    ({"claims": {"preferred_username": "c"}}, "x-auth-email", "c"),
    ({"claims": {"email": "", "preferred_username": "c"}}, "x-auth-email", "c"),
    # an app has neither name nor address, whatever its token says
    ({"kind": Kind.APP}, "x-auth-name", None),
    ({"kind": Kind.APP}, "x-auth-email", None),
]


@pytest.mark.must(19)
@pytest.mark.parametrize(("different", "name", "value"), WRITTEN)
def test_a_header_says_what_was_verified_or_is_removed(
    principal: Anna, different: dict[str, object], name: str, value: str | None
) -> None:
    written, removed, dropped = Badge({}).headers(principal(**different))
    assert written.get(name) == value
    assert (name in removed) is (value is None)
    assert dropped == 0


@pytest.mark.must(19)
def test_for_nobody_every_identity_header_is_removed() -> None:
    written, removed, dropped = Badge({"x-department": "dept"}).headers(None)
    assert (written, dropped) == ({}, 0)
    assert set(removed) == {*IDENTITY, "x-department"}


def test_extra_claims_travel_in_headers_of_the_operators_choice(principal: Anna) -> None:
    badge = Badge({"x-department": "dept", "x-auth-name": "nickname"})
    anna = principal(claims={"dept": "R&D", "name": "Anna", "nickname": "Annie"})
    written, removed, _ = badge.headers(anna)
    assert (written["x-department"], written["x-auth-name"]) == ("R&D", "Annie")
    assert badge.headers(principal(claims={}))[1] == ["x-auth-name", "x-auth-email", "x-department"]
    assert "x-department" not in removed


@pytest.mark.must(22)
@pytest.mark.parametrize("control", ["\x00", "\n", "\r", "\r\nx-auth-roles: Admin", "\t", "\x7f"])
@pytest.mark.parametrize("where", ["subject", "client", "tenant", "roles", "scopes", "claims"])
def test_a_value_with_a_control_character_is_dropped_removed_and_counted(
    principal: Anna, where: str, control: str
) -> None:
    bad = f"a{control}b"
    values: dict[str, object] = {
        "claims": {"name": bad},
        "roles": frozenset({"x", bad}),
        "scopes": frozenset({"x", bad}),
    }
    name = "x-auth-name" if where == "claims" else f"x-auth-{where}"
    written, removed, dropped = Badge({}).headers(principal(**{where: values.get(where, bad)}))
    assert name not in written
    assert name in removed
    assert dropped == 1


@pytest.mark.must(13)
@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("a" * MAX_VALUE, True),
        ("a" * (MAX_VALUE + 1), False),
        ("é" * (MAX_VALUE // 6), True),  # six bytes each, once encoded
        ("é" * (MAX_VALUE // 6 + 1), False),
    ],
)
def test_a_value_over_4_kib_is_dropped(principal: Anna, value: str, fits: bool) -> None:
    written, removed, dropped = Badge({}).headers(principal(claims={"name": value}))
    assert ("x-auth-name" in written) is fits
    assert ("x-auth-name" in removed) is not fits
    assert dropped == (0 if fits else 1)


ENCODED = [
    ("100%", "100%25"),
    ("a b", "a b"),
    ("José", "Jos%C3%A9"),
    ("é%41", "%C3%A9%2541"),
    ("é 100%", "%C3%A9 100%25"),
    ("日本", "%E6%97%A5%E6%9C%AC"),
    ("\u202eevil", "%E2%80%AEevil"),
    ("\x85", "%C2%85"),
]


@pytest.mark.must(22)
@pytest.mark.parametrize(("value", "encoded"), ENCODED)
def test_what_is_not_ascii_travels_percent_encoded(value: str, encoded: str) -> None:
    assert safe_value(value) == encoded


@pytest.mark.must(13, 22)
@given(st.text())
def test_a_value_that_travels_is_printable_ascii_and_can_be_read_again(value: str) -> None:
    safe = safe_value(value)
    if safe is None:
        assert len(value) > MAX_VALUE or any(c < " " or c == "\x7f" for c in value)
        return
    assert all(" " <= c <= "~" for c in safe)
    assert value == unquote(safe, errors="strict")


def test_underscored_names_every_other_spelling() -> None:
    assert set(underscored(["x-auth-kind"])) == {"x_auth-kind", "x-auth_kind", "x_auth_kind"}
    assert underscored(["authorization"]) == ()


FORGED = [
    "x_auth_subject",
    "x-auth_subject",
    "x_auth-roles",
    "x_auth_kind",
    "x_department",
    "x_request_id",
    "x-correlation_id",
    "x_attache_context",
    "x-http-method-override",
    "x_http_method_override",
    "x-original-url",
    "x_rewrite_url",
    "proxy",
    "proxy-authorization",
    "proxy_authorization",
]


@pytest.mark.must(19)
@pytest.mark.parametrize("name", FORGED)
def test_spellings_that_some_server_reads_alike_are_always_removed(name: str) -> None:
    assert name in Badge({"x-department": "dept"}).always_removed


NAMES = st.from_regex(r"x-[a-z0-9]{1,5}(-[a-z0-9]{1,5}){0,2}", fullmatch=True)


@pytest.mark.must(19)
@given(
    st.dictionaries(NAMES | st.sampled_from([*IDENTITY, *OVERRIDES]), st.just("name"), max_size=3),
    st.booleans(),
)
def test_no_header_is_both_written_and_removed_and_none_of_ours_neither(
    principal: Anna, extra: dict[str, str], somebody: bool
) -> None:
    badge = Badge(extra)
    written, removed, _ = badge.headers(principal() if somebody else None)
    assert not set(written) & {*removed, *badge.always_removed}
    ours = {*IDENTITY, *extra}
    assert ours <= {*written, *removed}
    assert set(underscored(ours)) <= set(badge.always_removed)
    assert set(OVERRIDES) <= {*written, *removed, *badge.always_removed}


@pytest.mark.must(19)
def test_variants_are_left_out_only_where_none_can_have_come_in() -> None:
    badge = Badge({"x-department": "dept"})
    assert badge.strip(underscores_refused=False).remove == badge.always_removed
    few = set(badge.strip(underscores_refused=True).remove)
    assert few == {name for name in badge.always_removed if "_" not in name}
    assert set(OVERRIDES) <= few


FEW = st.sampled_from(["", "a", "b", "a,b", "é", "a\n"])
SETS = st.frozensets(FEW, max_size=2)
CLAIM = FEW | st.lists(FEW, max_size=2) | st.sampled_from([True, 1, 1.0, None])
DIFFERENT = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.sampled_from(list(Kind)),
        "subject": FEW,
        "tenant": FEW,
        "client": FEW,
        "issuer": FEW,
        "scopes": SETS,
        "roles": SETS,
        "claims": st.dictionaries(st.sampled_from(["name", "email", "dept"]), CLAIM),
    },
)


@pytest.mark.must(19, 27)
@settings(max_examples=300, deadline=None)
@given(st.lists(DIFFERENT, min_size=2, max_size=8))
def test_a_stamp_says_what_its_own_caller_is_whoever_was_seen_before(
    verified: MakeVerified, callers: list[dict[str, object]]
) -> None:
    badge = Badge({"x-department": "dept"})
    for number, different in enumerate(callers):
        caller = verified(f"token {number}", **different)
        stamp, alone = badge.stamp(caller), Badge({"x-department": "dept"}).stamp(caller)
        assert stamp.dropped == alone.dropped
        assert stamp.part.set == alone.part.set
        assert stamp.part.remove == alone.part.remove
        assert stamp.part.metadata == alone.part.metadata


def test_the_next_token_of_a_user_has_the_same_stamp(verified: MakeVerified) -> None:
    badge = Badge({})
    first = badge.stamp(verified("one", expires_at=1.0))
    assert badge.stamp(verified("two", expires_at=2.0)) is first
    assert badge.stamp(verified("three", subject="ben-oid")) is not first


@pytest.mark.must(42)
def test_so_many_stamps_are_kept(verified: MakeVerified) -> None:
    badge = Badge({})
    for number in range(3000):
        badge.stamp(verified(str(number), subject=str(number)))
        assert badge.held <= 2048
