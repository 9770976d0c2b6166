"""How is an explanation shown to a person?"""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from agent.explain.steps import Explanation, Mark, Step, Verdict

_SIGNS = {
    Mark.PASSED: ("✓", "green"),
    Mark.FAILED: ("✗", "bold red"),
    Mark.UNCHECKED: ("?", "bold yellow"),
    Mark.NOT_REACHED: ("·", "dim"),
}
_WIDTH = 12


def show(explanation: Explanation, console: Console) -> None:
    """Print the steps, the verdict, and what the next one in line sees."""
    for line in lines(explanation):
        console.print(line, soft_wrap=True, highlight=False)


def lines(explanation: Explanation) -> list[Text]:
    """The same as lines."""
    told = [line for step in explanation.steps for line in _step(step)]
    told += [Text(), _verdict(explanation)]
    for name, value in sorted(explanation.headers.items()):
        told.append(Text(f"    {name}: {value}"))
    if explanation.removed:
        told.append(Text(f"    removed: {', '.join(sorted(explanation.removed))}", style="dim"))
    return told


def _step(step: Step) -> list[Text]:
    sign, style = _SIGNS[step.mark]
    head = Text(f"{sign} ", style=style)
    head.append(step.name.ljust(_WIDTH), style="bold" if step.mark is Mark.FAILED else "")
    head.append(step.sentence, style="dim" if step.mark is Mark.NOT_REACHED else "")
    indent = " " * (_WIDTH + 2)
    return [head, *(Text(f"{indent}{more}", style="dim") for more in step.more)]


def _verdict(explanation: Explanation) -> Text:
    if explanation.verdict is Verdict.DENIED:
        return Text(
            f"DENIED: {explanation.reason}, status {explanation.status}: {explanation.detail}",
            style="bold red",
        )
    if explanation.verdict is Verdict.CONDITIONAL:
        conditions = " and ".join(explanation.conditions)
        return Text(f"would be ALLOWED if {conditions}", style="bold yellow")
    return Text("ALLOWED", style="bold green")
