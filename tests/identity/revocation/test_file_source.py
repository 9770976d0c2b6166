"""A file of revocations is taken over once it has settled; a broken one changes nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.identity.fetch import Fetcher
from agent.identity.revocation.file_source import (
    INTERVAL,
    RESTLESS,
    SETTLE,
    FileSource,
    Settling,
    due,
)
from agent.identity.revocation.state import Fresh, Look, Same, Trouble

# time and fingerprint found then → acted on?
RULE: dict[str, list[tuple[float, str, bool]]] = {
    "the first content is acted on at once": [(7, "a", True), (7.1, "a", False)],
    "a later one when it has stood still": [
        (7, "a", True), (8, "b", False), (8 + SETTLE / 2, "b", False), (8 + SETTLE, "b", True),
        (9, "b", False),
    ],
    "one that changes again has to settle again": [
        (7, "a", True), (8, "b", False), (8.3, "c", False), (8.6, "c", False), (8.8, "c", True),
    ],
    "one that never settles is read as it is": [
        (7, "a", True), (8, "b", False), (8.25, "c", False), (8.5, "d", False),
        (8 + RESTLESS, "e", True), (9.5, "f", False),
    ],
    "a change that was taken back in time never was": [
        (7, "a", True), (8, "b", False), (8.2, "a", False), (9, "b", False), (9.5, "b", True),
    ],
}  # fmt: skip


@pytest.mark.parametrize("steps", RULE.values(), ids=RULE)
def test_when_a_content_is_acted_on(steps: list[tuple[float, str, bool]]) -> None:
    known = Settling()
    for now, found, expected in steps:
        known, act = due(known, found, now)
        assert act is expected, (now, found)


def test_a_change_is_acted_on_well_within_two_seconds() -> None:
    assert INTERVAL + SETTLE + INTERVAL < 1.0
    assert INTERVAL + RESTLESS + INTERVAL < 2.0


class Operator:
    """A file and the source that looks at it; time moves by the interval."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "revoked.yaml"
        self.source = FileSource(self.file, Fetcher(max_body=1024))
        self._ticks = itertools.count()

    def sees(self, looks: int = 4) -> list[Look]:
        return [self.source.look(next(self._ticks) * INTERVAL) for _ in range(looks)]


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


def subjects(look: Look) -> list[str]:
    assert isinstance(look, Fresh), look
    return [entry.subject for entry in look.by_id.values()]


def test_a_list_is_given_once_and_then_confirmed(operator: Operator) -> None:
    operator.file.write_text("- subject: a\n- subject: b\n")
    first, *rest = operator.sees()
    assert subjects(first) == ["a", "b"]
    assert rest == [Same()] * 3
    operator.file.write_text("[]")
    looks = operator.sees()
    assert [look for look in looks if look != Same()] == [Fresh({})]


def vanished(file: Path) -> None:
    file.unlink()


def mistaken(file: Path) -> None:
    file.write_text("- subjct: a\n")


def emptied(file: Path) -> None:
    file.write_text("")


def too_long(file: Path) -> None:
    file.write_text("#" * 2000)


def folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.must(35, 43)
@pytest.mark.parametrize("harm", [vanished, mistaken, emptied, too_long, folder])
def test_a_file_that_goes_bad_is_a_lasting_trouble_until_it_is_put_right(
    operator: Operator, harm: Callable[[Path], None]
) -> None:
    operator.file.write_text("- subject: a\n")
    operator.sees()
    harm(operator.file)
    *_, trouble = operator.sees()
    assert isinstance(trouble, Trouble)
    assert trouble.lasting
    assert ";" in trouble.sentence or "Remedy" in trouble.sentence
    assert set(operator.sees()) == {trouble}

    if operator.file.is_dir():
        operator.file.rmdir()
    operator.file.write_text("- subject: a\n")  # what it said before: that ends the alarm
    looks = operator.sees()
    assert [subjects(look) for look in looks if isinstance(look, Fresh)] == [["a"]]
    assert looks[-1] == Same()


def test_a_file_that_is_missing_at_first_is_said_and_taken_when_it_comes(
    operator: Operator,
) -> None:
    assert {type(look) for look in operator.sees()} == {Trouble}
    operator.file.write_text("- subject: a\n")
    assert ["a"] in [subjects(look) for look in operator.sees() if isinstance(look, Fresh)]


def test_the_swap_of_a_config_map_is_taken_over(tmp_path: Path) -> None:
    for name, text in (("..1", "[]"), ("..2", "- subject: a\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "revoked.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "revoked.yaml").symlink_to("..data/revoked.yaml")
    operator = Operator(tmp_path)
    operator.sees()
    (tmp_path / "..tmp").symlink_to("..2")
    (tmp_path / "..tmp").rename(tmp_path / "..data")
    assert ["a"] in [subjects(look) for look in operator.sees() if isinstance(look, Fresh)]
