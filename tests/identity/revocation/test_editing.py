"""A list gets an entry more or less, and keeps what people wrote around it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.identity.revocation.editing import canonical, with_entry, without
from agent.identity.revocation.entry import Entry
from agent.identity.revocation.listing import NotAList, read_list

A, B, C = Entry(subject="a", tenant="t"), Entry(subject="b"), Entry(client="c", note="é'\"#")
COMMENTED = """\
# who left us
- subject: a  # in March
  tenant: t

# a stolen phone
- {subject: b}
# the end
"""
FORMS = {
    "block": COMMENTED,
    "indented": "  - subject: a\n    tenant: t\n  - subject: b",
    "dash alone": "-\n  subject: a\n  tenant: t\n-\n  subject: b\n",
    "flow": "[{subject: a, tenant: t}, {subject: b}]\n",
    "json": '[{"subject":"a","tenant":"t"},\n {"subject":"b"}]',
    "windows": COMMENTED.replace("\n", "\r\n"),
    "marked": "\ufeff---\n" + COMMENTED,
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_an_entry_comes_and_goes_whatever_the_form(text: str) -> None:
    content = text.encode()
    longer = with_entry(content, C, "f")
    assert set(read_list(longer, "f")) == {A, B, C}
    for gone, rest in ((A, {B, C}), (B, {A, C}), (C, {A, B})):
        shorter = without(longer, lambda entry, gone=gone: entry == gone, "f")
        assert set(read_list(shorter, "f")) == rest
    assert read_list(without(longer, lambda _: True, "f"), "f") == ()


def test_what_people_wrote_around_the_entries_stays() -> None:
    content = with_entry(COMMENTED.encode(), C, "f")
    assert content.decode().startswith(COMMENTED)
    left = without(content, lambda entry: entry == A, "f").decode()
    assert "# a stolen phone\n- {subject: b}\n# the end\n" in left
    assert "March" not in left


def test_an_entry_said_again_takes_the_place_of_the_first() -> None:
    again = Entry(subject="b", until=9.0, note="longer")
    assert set(read_list(with_entry(COMMENTED.encode(), again, "f"), "f")) == {A, again}


def test_nothing_is_written_when_nothing_goes() -> None:
    assert without(COMMENTED.encode(), lambda _: False, "f") == COMMENTED.encode()


@pytest.mark.parametrize("text", ["", "- subjct: a\n", "{}"])
def test_nobodys_mistake_is_written_over(text: str) -> None:
    with pytest.raises(NotAList):
        with_entry(text.encode(), A, "f")


ENTRIES = st.lists(
    st.builds(
        Entry,
        subject=st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1),
        note=st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"])),
    ),
    max_size=5,
    unique_by=lambda entry: entry.id,
)


@settings(deadline=None)
@given(ENTRIES)
def test_what_is_written_entry_by_entry_reads_back(entries: list[Entry]) -> None:
    assert read_list(canonical(entries), "f") == tuple(entries)
    content = b"- subject: first of all\n"
    for entry in entries:
        content = with_entry(content, entry, "f")
    assert set(read_list(content, "f")) >= set(entries)
