"""What is one vector, what does its corpus say of it, and what did we do with it?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
ABSENT = "no corpora: set ATTACHE_CORPORA to the folder with the vectors of SECURITY.md"


class Said(StrEnum):
    """What a corpus says of a vector."""

    VALID = "valid"
    INVALID = "invalid"
    EITHER = "either"  # a matter of taste: nothing may break, both answers are right


@dataclass(frozen=True)
class Case:
    """One vector and our answer: `refusal` is our own sentence, empty where it was accepted."""

    id: str
    said: Said
    refusal: str

    @property
    def wrongly_accepted(self) -> bool:
        """The corpus says no, and we said yes."""
        return self.said is Said.INVALID and not self.refusal

    @property
    def wrongly_rejected(self) -> bool:
        """The corpus says yes, and we said no."""
        return self.said is Said.VALID and bool(self.refusal)


@dataclass(frozen=True)
class Corpus:
    """Vectors of one kind. `count`: how many there must be, so that none is lost in silence."""

    name: str
    folder: str
    how: str
    count: int
    read: Callable[[Path], Iterator[Case]]


@dataclass(frozen=True)
class Origin:
    """Where the vectors of one folder come from."""

    folder: str
    url: str
    licence: str

    def commit(self, corpora: Path) -> str:
        """The commit that was taken."""
        return (corpora / self.folder / "COMMIT").read_text(encoding="ascii").strip()


def corpora() -> Path | None:
    """The folder with the vectors, or None where it is not at hand."""
    if named := os.environ.get("ATTACHE_CORPORA"):
        return Path(named)
    beside = (HERE.parent / "shared" / "corpora", HERE / "shared" / "corpora")
    return next((folder for folder in beside if folder.is_dir()), None)
