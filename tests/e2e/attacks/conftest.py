"""One siege for all tables."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.attacks.siege import Siege


@pytest.fixture(scope="session")
def siege(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Siege]:
    with Siege(tmp_path_factory.mktemp("siege")) as begun:
        yield begun
