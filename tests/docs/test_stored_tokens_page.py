"""Does docs/stored-tokens.md say what is so: its examples load, its states and metrics exist?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.config.loading import parse
from agent.config.stored_tokens import Login, TokenStore
from agent.credentials.stored.life import State
from agent.telemetry.metrics import Metrics

PAGE = (Path(__file__).parents[2] / "docs" / "stored-tokens.md").read_text()
EXAMPLES = [
    text
    for text in re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    if text.startswith("workload")
]


@pytest.mark.parametrize("text", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_loads(text: str) -> None:
    assert parse(text.encode(), "docs/stored-tokens.md").stored_tokens


def test_the_page_names_every_state_store_and_key_of_a_login() -> None:
    words = set(re.findall(r"`(\w+)", PAGE))
    assert {state.value for state in State} <= words
    assert {str(field.alias) for field in TokenStore.model_fields.values()} <= words
    assert {str(field.alias) for field in Login.model_fields.values()} <= words


def test_its_metrics_exist() -> None:
    metrics = Metrics("1")
    metrics.watch_stored_tokens(lambda: {"crm": "live"})
    metrics.stored_token_request("crm", "rotated")
    shown = metrics.expose().decode()
    for name in re.findall(r"attache_stored_token_\w+", PAGE):
        assert f"\n{name}" in shown
