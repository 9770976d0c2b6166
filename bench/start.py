"""How soon does an agent answer, and how large is it, before and after so many tokens?"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc

from bench import provider
from bench.agent import Pair
from bench.process import free_port
from vectors.court import question, verdict

CHECK = "/envoy.service.auth.v3.Authorization/Check"
_STARTS = 5


def measured(tokens: int) -> dict[str, float]:
    """Seconds from the start to the first answered Check (median), and RSS in MB.

    `idle_mb`: ready, nothing asked; `msal_mb`: after a call with a token of MSAL's; `full_mb`:
    after *tokens* distinct tokens, each verified.
    """
    found: dict[str, float] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="start-")))
        idp = stack.enter_context(provider.provider())
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
            for _ in range(tokens):
                fresh = question({"authorization": f"Bearer {provider.user_token(idp)}"})
                assert verdict(ask(fresh, timeout=10)).allowed
            found["tokens"], found["full_mb"] = tokens, pair.agent.rss_mb()
    return found


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
