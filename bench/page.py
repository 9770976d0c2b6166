"""What does docs/benchmarks.md say? Its measured part, between two marks, is written by a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench import stalled
from bench.figures import Figure, goals, machine, markdown

BEGIN = "<!-- measured: written by `make bench` -->"
END = "<!-- end of what was measured -->"


def renew(
    file: Path,
    figures: Sequence[Figure],
    hung: Sequence[stalled.Round],
    rest: dict[str, float],
    rounds: int,
) -> None:
    """Put these figures in the place of the last ones; *hung*: beside an issuer that hangs."""
    before, _, after = file.read_text(encoding="utf-8").partition(BEGIN)
    after = after.partition(END)[2]
    text = f"""{BEGIN}

{machine()}; minimum / median of {rounds} rounds, µs of CPU per request.

{markdown(figures)}

{goals(figures, [stalled.goal(hung)] if hung else [])}
{_section(hung)}
| start and memory | |
|---|---|
| start to the first answered Check, median | {rest["first_answer_s"]:.2f} s |
| RSS, ready and idle | {rest["idle_mb"]:.0f} MB |
| RSS with MSAL in use | {rest["msal_mb"]:.0f} MB (goal 75) |
| RSS after {rest["tokens"]:,.0f} distinct tokens | {rest["full_mb"]:.0f} MB |

{END}"""
    file.write_text(before + text + after, encoding="utf-8")


def _section(hung: Sequence[stalled.Round]) -> str:
    return f"\n{stalled.markdown(hung)}\n" if hung else ""
