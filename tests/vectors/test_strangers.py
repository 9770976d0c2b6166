"""What thousands of tokens with unknown keys cost, and whom they hold up: a whole agent, asked."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from demo.waiting import until
from vectors.court import GATEWAY, TENANT, Court, Verdict, question, verdict

CHECK = "/envoy.service.auth.v3.Authorization/Check"
STRANGERS = 1000


@pytest.fixture
def court() -> Iterator[Court]:
    with Court() as whole:
        yield whole


def asked(court: Court, path: str) -> int:
    return court.pages.asked.count(path)


@pytest.mark.must(34)
def test_a_thousand_unknown_keys_cause_one_fetch_for_each_issuer(court: Court) -> None:
    """In far less than the cool-down of 300 s, from many threads; the file is reread each 2 s."""
    ring, before = court.ring, {path: asked(court, path) for path in court.pages.pages}
    entra = {"iss": court.entra, "tid": TENANT, "oid": "bob", "ver": "2.0", "scp": "a"}
    mesh = {"iss": GATEWAY, "aud": "task-api", "client_id": "shop/gateway"}
    tokens = [
        ring.mint(name, court.claims() | claims, kid=f"unknown-{number}")
        for number in range(STRANGERS)
        for name, claims in (("ed", {}), ("rsa-b", entra), ("ec256-b", mesh))
        if name != "rsa-b" or number < 100  # RSA signs slowly
    ]
    with ThreadPoolExecutor(8) as pool:
        verdicts = list(pool.map(court.ask, tokens))
    assert {found.reason for found in verdicts} == {"unknown_key"}
    more = {path: asked(court, path) - count for path, count in before.items()}
    assert more["/op/keys"] == 1
    assert more[f"/{TENANT}/v2.0/keys"] == 1
    assert max(more.values()) == 1
    assert all(court.ask(token).allowed for token in court.genuine())


def over(channel: grpc.Channel) -> Callable[[bytes], Verdict]:
    call: Any = channel.unary_unary(CHECK)
    return lambda message: verdict(call(message, timeout=20))


@pytest.mark.must(38, 39)
def test_hits_wait_for_no_miss_whose_issuer_hangs(court: Court) -> None:
    """Through the agent's own socket: every hit is answered while every miss still waits."""
    misses = 64
    source = court.source("op")
    known = [question({"authorization": f"Bearer {token}"}) for token in court.genuine()]
    strange = [
        question({"authorization": f"Bearer {court.ring.mint('ed', court.claims(), kid=f'k{n}')}"})
        for n in range(misses)
    ]
    with grpc.insecure_channel(f"unix:{court.socket}") as channel:
        ask = over(channel)
        assert all(ask(message).allowed for message in known)
        court.pages.held.clear()
        found: list[Verdict] = []
        threads = [
            threading.Thread(target=lambda each=each: found.append(ask(each))) for each in strange
        ]
        for thread in threads:
            thread.start()
        until(lambda: source.waiting == misses, "the misses")
        for _ in range(50):
            assert all(ask(message).allowed for message in known)
        assert (source.waiting, found) == (misses, [])
        court.pages.held.set()
        for thread in threads:
            thread.join()
    assert {each.reason for each in found} == {"unknown_key"}


@pytest.mark.must(42)
def test_what_distinct_tokens_leave_behind_is_bounded() -> None:
    with Court(maxTokens=150, maxContexts=150) as court:
        for number in range(1000):
            assert court.ask(court.ring.mint("ed", court.claims(sub=f"user-{number}"))).allowed
        assert len(court.app._trust._verifier._cache) == 150
        assert len(court.app._contexts) <= 150
