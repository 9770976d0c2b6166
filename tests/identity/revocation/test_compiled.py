"""Which tokens does an entry revoke? Every selector, alone and together, row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agent.identity.principal import IssuerKind, Kind, Principal
from agent.identity.revocation.compiled import Revocations
from agent.identity.revocation.entry import Entry, read_entry

OID = "0a1b2c3d-1111-4222-8333-ABCDEFabcdef"
NOW = 10_000.0


def principal(claims: dict[str, Any] | None = None, **different: Any) -> Principal:
    said: dict[str, Any] = {
        "kind": Kind.USER,
        "subject": OID.lower(),
        "tenant": "t1",
        "issuer": "https://login.example/t1",
        "issuer_name": "entra",
        "issuer_kind": IssuerKind.ENTRA,
        "client": "web",
        "scopes": frozenset(),
        "roles": frozenset(),
        "expires_at": 20_000.0,
        "claims": {"jti": "j1", "uti": "u1", "sid": "s1", "sub": "pair", "iat": 5000}
        | (claims or {}),
    }
    return Principal(**said | different)


# what the list says → is the token revoked at 10,000?
ENTRIES: list[tuple[dict[str, Any], bool]] = [
    ({"tokenId": "j1"}, True),
    ({"tokenId": "u1"}, True),
    ({"tokenId": "J1"}, False),
    ({"tokenId": "s1"}, False),
    ({"session": "s1"}, True),
    ({"session": "s"}, False),
    ({"subject": OID}, True),
    ({"subject": OID.lower()}, True),
    ({"subject": "pair"}, True),
    ({"subject": "j1"}, False),
    ({"client": "web"}, True),
    ({"client": "Web"}, False),
    ({"tenant": "t1"}, True),
    ({"tenant": "t2"}, False),
    # all that is written must match
    ({"subject": OID, "tenant": "t1", "client": "web", "session": "s1"}, True),
    ({"subject": OID, "tenant": "t2"}, False),
    ({"client": "web", "session": "other"}, False),
    ({"tenant": "t1", "client": "cli"}, False),
    # an issuer by its `iss` or by its name here
    ({"tenant": "t1", "issuer": "https://login.example/t1"}, True),
    ({"tenant": "t1", "issuer": "entra"}, True),
    ({"tenant": "t1", "issuer": "https://login.example/"}, False),
    # issued before
    ({"issuedBefore": 5001}, True),
    ({"issuedBefore": 5000}, False),
    ({"issuedBefore": "1970-01-01T01:23:20.5Z"}, True),
    ({"issuer": "entra", "issuedBefore": 5001}, True),
    ({"issuer": "partner", "issuedBefore": 5001}, False),
    ({"tenant": "t1", "issuedBefore": 4000}, False),
    ({"client": "web", "issuedBefore": 5001}, True),
    # until
    ({"subject": OID, "until": 10_001}, True),
    ({"subject": OID, "until": 10_000}, False),
]


@pytest.mark.parametrize(("said", "revoked"), ENTRIES, ids=[str(said) for said, _ in ENTRIES])
def test_a_token_is_revoked_by_an_entry_all_of_which_matches(
    said: dict[str, Any], revoked: bool
) -> None:
    entry = read_entry(said)
    assert isinstance(entry, Entry), entry
    noise = [Entry(subject=f"someone-{n}", tenant="t1") for n in range(50)]
    for entries in ([entry], [*noise, entry]):
        assert Revocations(entries).find(principal(), NOW) == (entry if revoked else None)


def test_a_token_that_does_not_say_when_it_was_issued_may_have_been_issued_before() -> None:
    old = principal(claims={"iat": None})
    assert Revocations([Entry(issued_before=1.0)]).find(old, NOW)
    assert Revocations([Entry(tenant="t1", issued_before=1.0)]).find(old, NOW)
    assert not Revocations([Entry(tenant="t2", issued_before=1.0)]).find(old, NOW)


def test_an_absent_claim_matches_nothing() -> None:
    bare = principal(subject="x", client="", tenant="")
    empty = replace(bare, claims={})
    entries = [Entry(session="s1"), Entry(token_id="None"), Entry(client="None"), Entry(tenant="-")]
    assert Revocations(entries).find(empty, NOW) is None


def test_the_first_of_several_entries_of_one_subject_that_matches_is_found() -> None:
    ended, other, right = (
        Entry(subject=OID, until=1.0),
        Entry(subject=OID, tenant="t2"),
        Entry(subject=OID, issued_before=6000.0),
    )
    assert Revocations([ended, other, right]).find(principal(), NOW) is right


@pytest.mark.parametrize("many", [0, 1, 5000])
def test_what_is_asked_does_not_grow_with_the_list(
    many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import agent.identity.revocation.compiled as compiled

    asked: list[Entry] = []
    matches: Callable[..., bool] = compiled._matches

    def counting(entry: Entry, *rest: Any) -> bool:
        asked.append(entry)
        return matches(entry, *rest)

    monkeypatch.setattr(compiled, "_matches", counting)
    entries = [Entry(subject=f"s{n}", tenant="t1") for n in range(many)]
    assert Revocations(entries).find(principal(), NOW) is None
    assert asked == []
