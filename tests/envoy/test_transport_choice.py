"""Who says what carries Checks? The file, then the environment, then the default."""

from __future__ import annotations

import pytest

from agent.config.listeners import Agent
from agent.envoy.server import UnknownTransport, transport_of

SAID = [
    ({}, {}, "lean"),
    ({}, {"ATTACHE_TRANSPORT": ""}, "lean"),
    ({}, {"ATTACHE_TRANSPORT": "grpcio"}, "grpcio"),
    ({}, {"ATTACHE_TRANSPORT": "lean"}, "lean"),
    ({"transport": "lean"}, {"ATTACHE_TRANSPORT": "grpcio"}, "lean"),
    ({"transport": "grpcio"}, {}, "grpcio"),
]


@pytest.mark.parametrize(("agent", "environment", "expected"), SAID)
def test_the_file_has_the_first_word(
    agent: dict[str, str], environment: dict[str, str], expected: str
) -> None:
    assert transport_of(Agent.model_validate(agent), environment) == expected


def test_a_word_that_names_no_transport_keeps_the_agent_from_starting() -> None:
    with pytest.raises(UnknownTransport, match="lean or grpcio"):
        transport_of(Agent(), {"ATTACHE_TRANSPORT": "rust"})
