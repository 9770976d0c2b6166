"""Whether a goal was reached: in microseconds, and beside what a Go server took in the same run."""

from __future__ import annotations

import pytest

from bench.figures import Figure, goals

GO = "no-op ext_authz (Go)"


def figure(row: str, connections: int, cpu: float) -> Figure:
    return Figure(row, connections, cpu, 0.0, 0.0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("go", "agent", "words"),
    [
        (39, [35], "35 | 35 | yes | 0.90 | 0.90 | yes"),
        (39, [36], "35 | 36 | no | 0.90 | 0.92 | no"),
        (60, [53], "35 | 53 | no | 0.90 | 0.88 | yes"),
        (20, [30], "35 | 30 | yes | 0.90 | 1.50 | no"),
        (39, [30, 35, 90], "35 | 35 | yes | 0.90 | 0.90 | yes"),
    ],
)
def test_a_slow_machine_slows_the_yardstick_too(go: float, agent: list[float], words: str) -> None:
    found = [figure(GO, 16, go), *(figure("inbound hit", 16, cpu) for cpu in agent)]
    assert goals(found).splitlines()[-1] == f"| inbound hit | 16 | {words} |"


def test_without_a_go_server_nothing_is_compared() -> None:
    row = goals([figure("inbound hit", 1, 99)]).splitlines()[-1]
    assert row == "| inbound hit | 1 | 100 | 99 | yes | 0.68 | - |  |"
