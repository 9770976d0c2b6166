"""docs/inject.md says what the code does."""

from pathlib import Path

from agent.inject.names import table

DOCUMENT = Path(__file__).parents[2] / "docs" / "inject.md"


def test_every_annotation_is_in_the_table() -> None:
    assert f"|---|---|\n{table()}\n" in DOCUMENT.read_text()
