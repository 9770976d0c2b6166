"""What becomes of those who are slow, leave early, or come in thousands?"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.attacks.siege import CONTROL, FORGED, Siege
from tests.e2e.attacks.slowness import SLOW, Slowness
from tests.e2e.attacks.sockets import Bytes, connect, request
from tests.e2e.attacks.table_endings import ENDINGS
from tests.e2e.contract_inbound_tools import b64, until

pytestmark = pytest.mark.e2e

KIDS = 2000


def unknown(siege: Siege, kid: str, **claims: object) -> str:
    """A token under a key that nobody has; its signature is never looked at."""
    head = f'{{"alg":"RS256","typ":"JWT","kid":"{kid}"}}'
    return f"{b64(head.encode())}.{siege.token(**claims).split('.')[1]}.{'A' * 342}"


def say(siege: Siege, token: str) -> str:
    line = f"Authorization: Bearer {token}"
    return Bytes((request("/api/x", line),)).exchange(siege.pod.port, 1).text


@pytest.mark.must(34, 38)
def test_thousands_of_unknown_kids_cause_one_fetch_and_harm_nobody(siege: Siege) -> None:
    before, requests = siege.site.hits.count("/jwks"), len(siege.app.requests)
    bearers = [f"Authorization: Bearer {unknown(siege, f'k{n}')}" for n in range(KIDS)]
    pieces = [request("/api/x", bearer, close=False) for bearer in bearers]
    pieces[KIDS // 2] = request(CONTROL, siege.bearer, close=False)
    heard = Bytes((b"".join(pieces[: KIDS // 2]),)).exchange(siege.pod.port, KIDS // 2)
    heard_after = Bytes((b"".join(pieces[KIDS // 2 :]),)).exchange(siege.pod.port, KIDS // 2)
    words = heard.words + heard_after.words
    assert (len(words), words[KIDS // 2]) == (KIDS, "200")
    assert set(words[: KIDS // 2] + words[KIDS // 2 + 1 :]) == {"401"}
    assert siege.site.hits.count("/jwks") - before <= 1
    assert [one.target for one in siege.app.requests[requests:]] == [CONTROL]


@pytest.mark.must(17, 38)
def test_a_caller_who_leaves_while_the_decision_waits_reaches_nobody(siege: Siege) -> None:
    requests, asked = len(siege.app.requests), siege.slow.hits.count("/jwks")
    slow = siege.slow.url + "/realm"
    until(lambda: say(siege, siege.token(iss=slow)) == "200", "the slow issuer's keys")
    siege.slow.gate.clear()
    try:
        token = unknown(siege, "slow-1", iss=slow)
        with connect(siege.pod.port) as connection:
            connection.sendall(request("/api/forged", f"Authorization: Bearer {token}"))
            until(lambda: siege.slow.hits.count("/jwks") > asked, "the fetch")
            Bytes((request("/api/forged"),), ends="reset").exchange(siege.pod.port, 1)
            assert say(siege, siege.user) == "200"  # and nobody else waits for it
    finally:
        siege.slow.gate.set()
    assert say(siege, siege.user) == "200"
    targets = {one.target for one in siege.app.requests[requests:]}
    assert targets == {"/api/x"}


@pytest.mark.must(17)
@pytest.mark.parametrize("name", ENDINGS)
def test_a_request_that_ends_early_is_decided_on_or_nothing(siege: Siege, name: str) -> None:
    says, may = ENDINGS[name]
    requests, size = len(siege.app.requests), len(siege.app.raw)
    heard = says(siege).exchange(siege.pod.port, 1)
    assert heard.text in ("200", "401", "closed")
    assert say(siege, siege.user) == "200"
    seen = [one.target for one in siege.app.requests[requests:]]
    assert set(seen) <= may | {"/api/x"}
    assert len(seen) <= (2 if may else 1)
    assert FORGED not in siege.app.raw[size:]


@pytest.mark.must(42)
def test_many_at_once_who_only_connect_do_not_shut_out_the_others(siege: Siege) -> None:
    held = [connect(siege.pod.port) for _ in range(500)]
    try:
        assert say(siege, siege.user) == "200"
    finally:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda one: one.close(), held))


@pytest.mark.must(42)
def test_whoever_dribbles_is_ended_and_never_reaches_the_application(
    siege: Siege, slowness: Slowness
) -> None:
    ends = slowness.wait()
    assert set(ends) == set(SLOW)
    for name, heard in ends.items():
        assert b"408" in heard, name
    assert "/open/slow" not in {one.target for one in siege.app.requests}


@pytest.mark.must(17, 45)
def test_after_all_of_it_both_programs_are_whole_and_their_logs_hold_no_token(
    siege: Siege, slowness: Slowness
) -> None:
    slowness.wait()
    siege.unharmed()
