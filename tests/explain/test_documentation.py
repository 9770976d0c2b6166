"""What docs/testing-your-policy.md shows works as it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parents[2] / "docs/testing-your-policy.md"


def test_the_example_runs_as_it_is_written(tmp_path: Path, attache: Callable[..., Any]) -> None:
    config, cases = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.S)
    (tmp_path / "attache.yaml").write_text(config)
    (tmp_path / "cases.yaml").write_text(cases)
    ran = attache("test", tmp_path / "cases.yaml")
    assert (ran.code, "6 passed, 0 failed" in ran.out) == (0, True), ran.out + ran.err
