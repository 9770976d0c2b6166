"""How soon does an agent answer, and how large is it, before and after so many tokens?"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc

from bench import provider
from bench.agent import Pair
from bench.process import free_port
from demo.idp.server import IdentityProvider
from vectors.court import question, verdict

CHECK = "/envoy.service.auth.v3.Authorization/Check"
_STARTS = 5
_AT_ONCE = 16


def measured(tokens: int) -> dict[str, float]:
    """Seconds from the start to the first answered Check (median), and RSS in MB.

    `idle_mb`: ready, nothing asked; `msal_mb`: after a call with a token of MSAL's; `full_mb`:
    after *tokens* distinct tokens, each verified.
    """
    found: dict[str, float] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="start-")))
        idp = stack.enter_context(provider.provider())
        distinct = _distinct(idp, tokens)
        token = provider.user_token(idp)
        known = question({"authorization": f"Bearer {token}"})
        pair = Pair(idp, free_port(), free_port(), folder)
        stack.enter_context(pair.envoy)
        stack.callback(lambda: pair.agent.__exit__(None, None, None))
        seconds = []
        for _ in range(_STARTS):
            pair.agent.terminate()
            pair.agent.wait()
            began = time.perf_counter()
            pair.launch()
            _answered(pair, known)
            seconds.append(time.perf_counter() - began)
        found["first_answer_s"] = statistics.median(seconds)
        found["idle_mb"] = pair.agent.rss_mb()
        with grpc.insecure_channel(f"unix:{pair.socket}") as channel:
            ask: Any = channel.unary_unary(CHECK)
            allowed = verdict(ask(known, timeout=10))
            call = {"direction": "outbound", "destination": "store"}
            headers = {"x-attache-context": allowed.headers["x-attache-context"]}
            assert verdict(ask(question(headers, **call), timeout=10)).allowed
            found["msal_mb"] = pair.agent.rss_mb()
            _each_allowed(ask, distinct)
            found["tokens"], found["full_mb"] = len(distinct), pair.agent.rss_mb()
    return found


def _distinct(idp: IdentityProvider, number: int) -> list[str]:
    """So many tokens, by as many signers as there are cores. Before any gRPC: it takes no fork."""
    signers = os.cpu_count() or 1
    parts = [number // signers + (n < number % signers) for n in range(signers)]
    with multiprocessing.get_context("fork").Pool(signers, _sign_for, (idp,)) as pool:
        return [token for made in pool.map(_signed, parts, chunksize=1) for token in made]


_signing: list[IdentityProvider] = []


def _sign_for(idp: IdentityProvider) -> None:
    _signing.append(idp)


def _signed(number: int) -> list[str]:
    return [provider.user_token(_signing[0]) for _ in range(number)]


def _each_allowed(ask: Any, tokens: list[str]) -> None:
    """Ask about each of *tokens*, some at a time."""
    under_way: deque[Any] = deque()
    for token in tokens:
        if len(under_way) >= _AT_ONCE:
            assert verdict(under_way.popleft().result()).allowed
        under_way.append(ask.future(question({"authorization": f"Bearer {token}"}), timeout=30))
    assert all(verdict(call.result()).allowed for call in under_way)


def _answered(pair: Pair, message: bytes) -> None:
    """Ask until the agent answers: as Envoy does, again and again."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with grpc.insecure_channel(f"unix:{pair.socket}") as channel:
            ask: Any = channel.unary_unary(CHECK)
            try:
                if verdict(ask(message, timeout=5)).allowed:
                    return
            except grpc.RpcError:
                time.sleep(0.005)
    raise RuntimeError("the agent does not answer")
