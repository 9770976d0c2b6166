"""A thousand people through instrumented Python and Node, and through what is not instrumented.

`python -m bench.crowd` is the same with 20,000 calls.
"""

from __future__ import annotations

from collections import Counter

import pytest

from bench.crowd.plan import WAYS, expected, plan
from bench.crowd.pod import NODE
from bench.crowd.world import World
from demo import npm

pytestmark = pytest.mark.e2e


def _crowd(people: int, calls: int, *applications: str) -> None:
    errands = plan(people, calls, applications)
    with World(people, applications) as world:
        verdict, _ = world.run(errands)
        assert verdict.wrong == ()
        assert verdict.crossings == 0
        assert (verdict.people, verdict.errands) == (people, len(errands))
        assert verdict.calls + sum(verdict.denied.values()) >= expected(errands) >= calls
        assert set(verdict.denied) == {"no_subject"}
        # every miss is counted, and written down with its reason
        for name, pod in world.pods.items():
            missed = Counter(miss.reason for miss in pod.missed())
            assert missed
            denied = pod.counted("attache_decisions_total", direction="outbound", decision="deny")
            assert denied == missed.total()
            for reason, count in missed.items():
                assert pod.counted("attache_decisions_total", reason=reason) == count, name
            assert pod.counted("attache_link_total", outcome="none") == missed["no_subject"]


@pytest.mark.must(27, 29, 45)
def test_nobody_in_a_crowd_through_python_is_taken_for_another() -> None:
    _crowd(1000, 1000, *(name for name in WAYS if name != "node"))


@pytest.mark.must(27, 29)
def test_nobody_in_a_crowd_through_node_is_taken_for_another() -> None:
    try:
        npm.installed(NODE / "package.json")
    except npm.NotInstalled as reason:
        pytest.skip(f"the instrumented application of Node is not to be had: {reason}")
    _crowd(300, 400, "node")
