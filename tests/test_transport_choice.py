"""Who says what carries Checks? The file, then the environment, then the default."""

from __future__ import annotations

from typing import Any

import pytest

from agent.app import CannotStart, transport_of
from agent.config.attache import Attache

SAID = [
    ({}, {}, "lean"),
    ({}, {"ATTACHE_TRANSPORT": ""}, "lean"),
    ({}, {"ATTACHE_TRANSPORT": "grpcio"}, "grpcio"),
    ({}, {"ATTACHE_TRANSPORT": "lean"}, "lean"),
    ({"transport": "lean"}, {"ATTACHE_TRANSPORT": "grpcio"}, "lean"),
    ({"transport": "grpcio"}, {}, "grpcio"),
]


def configured(agent: dict[str, Any]) -> Attache:
    listeners = {"inbound": {"application": "127.0.0.1:8000"}}
    return Attache.model_validate(
        {"workload": {"name": "task-api"}, "listeners": listeners, "agent": agent}
    )


@pytest.mark.parametrize(("agent", "environment", "expected"), SAID)
def test_the_file_has_the_first_word(
    agent: dict[str, str], environment: dict[str, str], expected: str
) -> None:
    assert transport_of(configured(agent), environment) == expected


def test_a_word_that_names_no_transport_keeps_the_agent_from_starting() -> None:
    with pytest.raises(CannotStart, match="lean or grpcio"):
        transport_of(configured({}), {"ATTACHE_TRANSPORT": "rust"})
