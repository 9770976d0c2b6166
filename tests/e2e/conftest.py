"""One stage for all journeys, and small ones for the faults. Nothing of ours is fake here."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from demo.pod import SERVICES
from demo.stage import Stage
from tests.e2e.peers.oidc_provider import OidcProvider

Small = Callable[..., Stage]


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """The whole shop, its agents at debug level: the canary scan reads what they wrote."""
    with Stage(log_level="debug") as whole:
        yield whole


@pytest.fixture
def small() -> Iterator[Small]:
    """Make a stage of the named services on which nothing runs yet; it ends with the test."""
    made: list[Stage] = []

    def make(*names: str) -> Stage:
        services = [service for service in SERVICES if service.name in names]
        stage = Stage(services, crowd=0, log_level="debug", idle=True)
        made.append(stage)
        return stage.start()

    yield make
    for stage in made:
        stage.stop()


@pytest.fixture(scope="session")
def oidc_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    """A certified provider that is not ours; skips where Node.js or npm cannot give it."""
    made = OidcProvider(tmp_path_factory.mktemp("oidc") / "provider")
    yield made
    made.stop()
