"""Do people sign in at the gateway, through a real Envoy? With cookies and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.e2e.contract_inbound_tools import until
from tests.e2e.login_world import (
    AUDIENCE,
    CALLBACK,
    FETCH,
    LOGOUT,
    SESSION,
    Browser,
    Gateway,
    Provider,
    configuration,
)

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def shared() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.stop()


@pytest.fixture
def provider(shared: Provider) -> Provider:
    shared.life, shared.slow, shared.down, shared.person = 3600, 0.0, False, "ann"
    shared.id_claims, shared.access_claims = {}, {}
    return shared


@pytest.fixture(scope="module")
def gateway(shared: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with Gateway(folder / "pod", configuration(shared, folder)) as made:
        until(made.ready, "the keys")
        yield made


@pytest.fixture
def browser(gateway: Gateway) -> Browser:
    return gateway.browser()


def test_a_person_signs_in_and_comes_back_to_the_page_they_wanted(browser, provider):
    answer = browser.sign_in(provider, "/app/deep/link?a=1&b=%2F")
    assert answer.status == 200
    assert answer.json["path"] == "/app/deep/link?a=1&b=%2F"
    assert answer.seen("x-auth-subject") == ["ann"]
    print(browser.seen, {k: len(v) for k, v in browser.cookies.items()})
