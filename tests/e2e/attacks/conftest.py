"""One siege for all tables, and the slow ones from its first moment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.attacks.siege import Siege
from tests.e2e.attacks.slowness import FIRST, Slowness
from tests.e2e.contract_inbound_tools import until


@pytest.fixture(scope="session")
def besieged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    with Siege(tmp_path_factory.mktemp("siege")) as begun:
        yield begun


@pytest.fixture(scope="session")
def slowness(besieged: Siege) -> Slowness:
    begun = Slowness(besieged.pod.port)
    requests = besieged.app.requests
    until(lambda: any(one.target == FIRST for one in requests), "the first of two requests")
    return begun


@pytest.fixture(scope="session")
def siege(besieged: Siege, slowness: Slowness) -> Siege:
    return besieged
