"""The table of `docs/attacks.md`; `python -m tests.e2e.attacks.page` prints it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.e2e.attacks.slowness import SLOW
from tests.e2e.attacks.table_endings import ENDINGS
from tests.e2e.attacks.tables import TABLES

HEAD = ("| group | attacks | refused | arrived clean | through |", "|---|---:|---:|---:|---:|")


def table() -> Iterator[str]:
    """One line a group, and their sum. *Through* is nothing, or a test fails."""
    groups = [
        (group, len(rows), sum(not row.saw for row in rows)) for group, rows in TABLES.items()
    ]
    refused = sum(not may for _, may in ENDINGS.values())
    groups.append(("Time: slow, half-closed, reset", len(SLOW) + len(ENDINGS), len(SLOW) + refused))
    yield from HEAD
    for name, rows, refused in groups:
        yield f"| {name} | {rows} | {refused} | {rows - refused} | 0 |"
    attacks, refused = (sum(group[n] for group in groups) for n in (1, 2))
    yield f"| **all** | **{attacks:,}** | **{refused:,}** | **{attacks - refused:,}** | **0** |"


if __name__ == "__main__":
    print("\n".join(table()))
