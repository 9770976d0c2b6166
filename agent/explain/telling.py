"""How are steps told in order, so that those after the one that failed are only named?"""

from __future__ import annotations

from collections.abc import Callable

from agent.errors import Denial
from agent.explain.steps import Mark, Step, shown
from agent.explain.trial import Findings, Trial
from agent.flow.decision import Decision
from agent.flow.request import Request


class Telling:
    """Collects the steps of one decision."""

    def __init__(self, trial: Trial, request: Request, decision: Decision) -> None:
        self.trial = trial
        self.request = request
        self.decision = decision
        self.found: Findings = trial.findings
        self.steps: list[Step] = []
        self.over = False

    def add(self, name: str, mark: Mark, sentence: str, more: tuple[str, ...] = ()) -> None:
        """Add a step; what comes after one that failed is not reached."""
        if self.over:
            mark, sentence, more = Mark.NOT_REACHED, "Not reached.", ()
        self.steps.append(Step(name, mark, sentence, more))
        self.over = self.over or mark is Mark.FAILED

    def denied(self, name: str, denial: Denial, more: tuple[str, ...] = ()) -> None:
        """Add the step that *denial* ended."""
        self.add(name, Mark.FAILED, f"{shown(denial.detail).rstrip('.')} ({denial.reason}).", more)

    def stage(
        self,
        name: str,
        stages: tuple[str, ...],
        passed: Callable[[], tuple[str, tuple[str, ...]]],
        more: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        """Add a step of the verification by what its stages found."""
        if self.over:
            self.add(name, Mark.NOT_REACHED, "")
            return
        denial = next((each for stage in stages if (each := self.found.denied(stage))), None)
        if denial is None and not any(stage in self.found.found for stage in stages):
            denial = self.denial()  # the pipeline stopped before this stage said a word
        if denial is not None:
            self.denied(name, denial, more())
        else:
            self.add(name, Mark.PASSED, *passed())

    def denial(self) -> Denial | None:
        """How the pipeline refused, if it did."""
        outcome = self.decision.outcome
        return outcome if isinstance(outcome, Denial) else None
