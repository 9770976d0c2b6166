"""What is wrong with a configuration, where, and what to do about it?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Location = tuple[str | int, ...]
"""Where a value stands: keys as they are written, and indices."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem in words. `line` counts from 1; 0 means that no line is known."""

    line: int
    path: str
    reason: str
    remedy: str
    file: str = ""

    def __str__(self) -> str:
        """Return `attache.yaml:12 destinations[0].credential: reason. Remedy: remedy.`"""
        where = f"{self.file}:{self.line}" if self.file and self.line else self.file
        place = " ".join(part for part in (where, self.path) if part)
        sentence = f"{self.reason}. Remedy: {self.remedy}."
        return printable(f"{place}: {sentence}" if place else sentence)


class ConfigInvalid(Exception):
    """A configuration that cannot be used; `findings` has every reason, by line."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(sorted(findings, key=lambda finding: finding.line))
        super().__init__("\n".join(str(finding) for finding in self.findings))


def dotted(location: Location) -> str:
    """Return `destinations[0].credential` for `("destinations", 0, "credential")`."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def printable(text: str) -> str:
    """Escape what a terminal or a log would obey instead of show: keys come from a file."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
