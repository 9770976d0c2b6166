"""With every token due for renewal, the provider goes away under load: no request fails.

`python -m bench.outage` is the same for a minute.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from bench.outage import TROUBLES, World

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        yield World(tmp_path_factory.mktemp("outage"), stack)


@pytest.mark.must(38)
@pytest.mark.parametrize("kind", TROUBLES)
def test_tokens_in_hand_serve_while_the_provider_is_away(world: World, kind: str) -> None:
    world.arrive()
    found = world.outage(kind, 2.5)
    assert dict(found.statuses) == {200: found.statuses.total()}, found.examples
    assert found.felt, "nobody noticed: the outage proved nothing"
