"""How do Envoy's questions reach us? gRPC on Unix sockets, nobody else's (SECURITY.md 24).

Checks come on one socket, the configuration's stream on another, both by the transport that
`agent.transport` chooses. grpcio is imported where it is that one, and nowhere else: 15 MB.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Protocol, cast, get_args

from agent.config.listeners import Agent
from agent.envoy.ads import METHOD, SERVICE, STOPPING, Ads, Stream
from agent.envoy.lean.loop import Loop, Method
from agent.envoy.lean.messages import Failed, Status
from agent.envoy.lean.talk_loop import Line, Listener, TalkLoop
from agent.envoy.pool import CheckPool
from agent.envoy.unix import Claim, listen

log = logging.getLogger("attache.ads")

Decide = Callable[[bytes, float], bytes]
"""CheckRequest and the seconds that remain → CheckResponse.

Raises `WouldBlock` on a thread that must not wait, and nothing else.
"""

Transport = Literal["lean", "grpcio"]

# Envoy gives each try 4.5 s: an answer after that is no answer (SECURITY.md 39).
LONGEST = 4.0
MARGIN = 0.25

_CHECK = "envoy.service.auth.v3.Authorization", "Check"


class Server(Protocol):
    """What serves, until it is stopped."""

    def stop(self, grace: float) -> None:
        """Leave the path, answer what is under way for up to *grace* seconds, end."""


class UnknownTransport(ValueError):
    """The environment names a transport that there is not; the text says which there are."""


def transport_of(agent: Agent, environment: Mapping[str, str]) -> Transport:
    """What carries Checks: the file's word, else the environment's, else the default.

    The environment serves whoever must change it for many agents at once, as our own tests do.
    """
    said = environment.get("ATTACHE_TRANSPORT", "")
    if "transport" in agent.model_fields_set or not said:
        return agent.transport
    for known in get_args(Transport):
        if said == known:
            return cast("Transport", known)
    right = " or ".join(get_args(Transport))
    raise UnknownTransport(f"ATTACHE_TRANSPORT is '{said[:32]}'; write {right}, or leave it out")


def serve_checks(transport: Transport, path: Path, decide: Decide, pool: CheckPool) -> Server:
    """Answer Checks on the Unix socket *path*; raise `SocketInUse` or `OSError`."""

    def check(message: bytes, remaining: float | None) -> bytes:
        return decide(message, patience(remaining))

    if transport == "lean":
        return LeanServer(path, check, pool)
    from agent.envoy.grpcio import GrpcServer, handler

    return GrpcServer(path, pool, handler(*_CHECK, check))


def serve_ads(transport: Transport, path: Path, ads: Ads) -> Server:
    """Serve the configuration's stream on the Unix socket *path*; raises as `serve_checks` does."""
    if transport == "lean":
        return LeanAds(path, ads)
    from agent.envoy.grpcio import GrpcServer, ads_handler, ads_pool

    return GrpcServer(path, ads_pool(), ads_handler(ads))


def patience(remaining: float | None) -> float:
    """How many seconds a decision may take whose asker waits *remaining* (None: for ever)."""
    if remaining is None or remaining >= LONGEST + MARGIN:
        return LONGEST  # as it is nearly always
    return max(0.0, remaining - MARGIN)


class LeanServer:
    """Our own transport: hits on its one thread, what waits on *pool*."""

    def __init__(self, path: Path, check: Method, pool: CheckPool) -> None:
        def begin(place: Path) -> None:
            methods = {f"/{'/'.join(_CHECK)}": check}
            self._loop = Loop(listen(place), methods, pool, pool.never_wait)

        self._claim = Claim(path, begin)
        self._loop.start()

    def stop(self, grace: float) -> None:
        """See `Server`."""
        self._claim.give_up()
        self._loop.stop(grace)


class LeanAds:
    """The same for the configuration's stream: a thread for each Envoy that is connected."""

    def __init__(self, path: Path, ads: Ads) -> None:
        def begin(place: Path) -> None:
            self._loop = TalkLoop(listen(place), f"/{SERVICE}/{METHOD}", answer, f"{path.name}")

        def answer(line: Line) -> Listener:
            stream = ads.enter()
            if stream is None:
                line.end(Failed(Status.UNAVAILABLE, STOPPING))
                return _Nobody()
            threading.Thread(
                target=_speak, args=(ads, stream, line), name="ads", daemon=True
            ).start()
            return stream

        self._claim = Claim(path, begin)
        self._loop.start()

    def stop(self, grace: float) -> None:
        """See `Server`."""
        self._claim.give_up()
        self._loop.stop(grace)


class _Nobody:
    """`Listener` on a stream that was ended."""

    def hear(self, message: bytes) -> None:
        """What is said is lost."""

    def over(self) -> None:
        """It was."""


def _speak(ads: Ads, stream: Stream, line: Line) -> None:
    try:
        for message in ads.converse(stream):
            line.say(message)
    except Exception:
        log.exception("an ADS stream was ended. This is a bug: report it")
        line.end(Failed(Status.UNKNOWN, "the stream failed"))
    else:
        line.end()
