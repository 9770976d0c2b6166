"""What is sealed opens for its purpose, by a key that is still there, and unchanged."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.login.key_file import Keys, read_secrets
from agent.login.seal import Seals

OLD, NEW = b"o" * 32, b"n" * 32


def test_what_is_sealed_opens_for_its_purpose_only():
    seals = Seals([OLD], os.urandom)
    text = seals.seal("a", b"content")
    assert seals.open("a", text) == b"content"
    assert seals.open("b", text) is None
    assert seals.seal("a", b"content") != text


def test_the_first_key_seals_and_every_key_opens():
    before, both, after = (
        Seals([OLD], os.urandom),
        Seals([NEW, OLD], os.urandom),
        Seals([NEW], os.urandom),
    )
    assert both.open("a", before.seal("a", b"x")) == b"x"
    assert after.open("a", both.seal("a", b"x")) == b"x"
    assert after.open("a", before.seal("a", b"x")) is None


@settings(deadline=None)
@given(st.integers(0, 400), st.characters(codec="ascii"))
def test_no_changed_text_opens(place, letter):
    seals = Seals([OLD], os.urandom)
    text = seals.seal("a", b"content of some length")
    place %= len(text)
    changed = text[:place] + letter + text[place + 1 :]
    assert changed == text or seals.open("a", changed) is None


@settings(deadline=None)
@given(st.text(max_size=100))
def test_no_made_up_text_opens(text):
    assert Seals([OLD], os.urandom).open("a", text) is None


def test_a_key_file_is_read_again_and_a_broken_one_changes_nothing(tmp_path):
    ticks = [0.0]
    path = tmp_path / "keys"
    path.write_bytes(OLD)
    keys = Keys(path, lambda: ticks[0], os.urandom)
    text = keys.seals().seal("a", b"x")
    for content, opens, problem in (
        (b"short", True, True),
        (NEW + b"\n" + OLD, True, False),
        (NEW, False, False),
    ):
        path.write_bytes(content)
        ticks[0] += 10
        assert (keys.seals().open("a", text) is not None) == opens
        assert bool(keys.problem) == problem
    path.unlink()
    ticks[0] += 10
    assert keys.seals() is not None
    assert "cannot be read" in keys.problem


def test_without_a_usable_key_nothing_is_sealed(tmp_path):
    keys = Keys(tmp_path / "absent", lambda: 0.0, os.urandom)
    assert keys.seals() is None
    assert str(tmp_path) in keys.problem
    assert Keys(None, lambda: 0.0, os.urandom).seals() is not None


def test_what_is_wrong_with_a_key_file_is_said_without_its_content():
    for content in (
        b"",
        b"secret",
        OLD + b"\n" + OLD,
        b"\n".join(bytes([65 + i]) * 32 for i in range(9)),
    ):
        said = read_secrets(content)
        assert isinstance(said, str)
        assert "secret" not in said
    assert read_secrets(b" " + OLD + b" \r\n\n" + NEW + b"\n") == [OLD, NEW]
