"""Does `docs/attacks.md` say what the tables hold?"""

from __future__ import annotations

from pathlib import Path

from tests.e2e.attacks.page import table
from tests.e2e.attacks.tables import TABLES

DOCUMENT = Path(__file__).parents[3] / "docs" / "attacks.md"


def test_the_published_numbers_are_the_tables_own() -> None:
    published = DOCUMENT.read_text()
    assert "\n".join(table()) in published, "paste what python -m tests.e2e.attacks.page prints"


def test_no_attack_is_counted_twice() -> None:
    for group, rows in TABLES.items():
        names = [row.name for row in rows]
        assert sorted({name for name in names if names.count(name) > 1}) == [], group
