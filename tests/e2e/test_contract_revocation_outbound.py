"""A call on behalf of a caller who was revoked meanwhile is refused, whatever is cached."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.contract_outbound_sts import Signing
from tests.e2e.contract_outbound_tools import until
from tests.e2e.contract_outbound_world import World, pick

pytestmark = pytest.mark.e2e


class Revoking(World):
    """The world of every credential, with a list of revocations beside it."""

    def __init__(self, folder: Path) -> None:
        self.list = folder / "revoked.json"
        self.list.write_text("[]")
        Signing(folder / "keys", "judge/front")
        super().__init__(folder)

    def configuration(self, **changes: Any) -> dict[str, Any]:
        return super().configuration(revocation={"file": str(self.list)}, **changes)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Revoking]:
    made = Revoking(tmp_path_factory.mktemp("revoking"))
    yield made
    made.stop()


SPEAKS_FOR_THE_CALLER = ("behalf", "suite", "minted", "minted-any")


@pytest.mark.must(27, 28)
def test_no_credential_of_a_revoked_caller_is_used(world: Revoking) -> None:
    ann, bob = (
        pick(world.front.receive(world.sts.issue(who)).seen, "x-attache-context")
        for who in ("ann", "bob")
    )

    def call(name: str, carried: dict[str, str]) -> tuple[int, str]:
        return world.front.call(f"{name}.shop:8100", carried).denial

    for name in SPEAKS_FOR_THE_CALLER:
        assert [call(name, who)[0] for who in (ann, bob)] == [200, 200]
    world.list.write_text(json.dumps([{"subject": "ann"}]))
    until(lambda: call("behalf", ann) == (401, "revoked"), "the call is refused")
    asked = len(world.sts.asked)
    for name in SPEAKS_FOR_THE_CALLER:
        assert call(name, ann) == (401, "revoked"), name
        assert call(name, bob)[0] == 200, name
    assert call("log", ann)[0] == 200, "the application's own call does not speak for her"
    assert call("nothing", ann)[0] == 200
    record = world.front.record(direction="outbound", reason="revoked", destination="behalf")
    assert (record["decision"], record["subject"]) == ("deny", "ann")

    world.list.write_text("[]")
    until(lambda: call("behalf", ann)[0] == 200, "she is admitted again")
    of_users = [one for one in world.sts.asked[asked:] if "behalf" in one.get("scope", "")]
    assert of_users == [], "her token was cached all along, and not used meanwhile"
