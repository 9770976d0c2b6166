"""Does anything get past a real Envoy and the real agent? One row an attack (docs/attacks.md)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.attacks.siege import Attack, Siege
from tests.e2e.attacks.tables import TABLES

pytestmark = pytest.mark.e2e

ROWS = [(group, row) for group, rows in TABLES.items() for row in rows]
# Envoy lets a broken connection linger for a second: these are tried all at once, below.
BROKEN = [row for _, row in ROWS if row.answer == "closed" and row.at == "pod"]
ALONE = [(group, row) for group, row in ROWS if row not in BROKEN]


def _name(case: tuple[str, Attack]) -> str:
    return f"{case[0].partition(':')[0]}: {case[1].name}".encode("unicode_escape").decode()[:120]


@pytest.mark.must(14, 17, 18, 19, 20, 21)
@pytest.mark.parametrize("case", ALONE, ids=_name)
def test_nothing_gets_through(siege: Siege, case: tuple[str, Attack]) -> None:
    siege.attack(case[1])


@pytest.mark.must(14, 17, 19, 20)
def test_a_malformed_message_ends_its_connection_unseen(siege: Siege) -> None:
    before = len(siege.app.requests)
    with ThreadPoolExecutor(64) as pool:
        heard = pool.map(lambda row: siege.hear(row).text, BROKEN)
    answers = {row.name: text for row, text in zip(BROKEN, heard, strict=True)}
    assert {name: text for name, text in answers.items() if text != "closed"} == {}
    assert siege.app.requests[before:] == []
    siege.unharmed()
