"""Throw chance at a whole agent for so many seconds: `make fuzz SECONDS=600`.

Every request goes through `decide(bytes, seconds)`. What must hold: nothing is raised, no
well-formed request ends in `internal_error`, nothing is allowed that the oracle does not know, what
is allowed shows the application exactly its caller, and memory levels off.
"""

from __future__ import annotations

import argparse
import logging
import re
import secrets
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from google.protobuf.message import DecodeError

from vectors import oracle
from vectors.court import AUDIENCE, GATEWAY, OP_KEYS, Court, Verdict
from vectors.mutation import message, mutated
from vectors.oracle import Trusted

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_IDENTITY = ("x-auth-kind", "x-auth-subject", "x-auth-tenant", "x-auth-issuer", "x-auth-name")
_ALL = ("RS256", "PS256", "ES256", "EdDSA")
_REST = 20_000  # requests after which memory is looked at


class Broken(AssertionError):
    """One of the things that must hold does not; the text says which, and how to see it again."""


@dataclass
class Fuzz:
    """One run over *court*; *seed* makes all of its chance."""

    court: Court
    seed: int
    done: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    handles: deque[str] = field(default_factory=lambda: deque(maxlen=64))

    def __post_init__(self) -> None:
        self.random = Random(self.seed)
        self.tokens = self.court.genuine()
        ring = self.court.ring.keys
        public = {name: key.public_key() for name, key in ring.items()}
        mesh = {"ec256-b": public["ec256-b"]}
        op = {name: public[name] for name in OP_KEYS}
        self.trusted = (
            Trusted(self.court.op, AUDIENCE, op, _ALL, ("sub", "client_id", "azp")),
            Trusted(self.court.entra, AUDIENCE, {"rsa-b": public["rsa-b"]}, ("RS256",), ("oid",)),
            Trusted(GATEWAY, "task-api", mesh, ("ES256",), ("oid", "sub")),
        )

    def one(self) -> None:
        """Make one request, ask, and look whether the answer is right."""
        random = self.random
        token = random.choice(self.tokens)
        if random.random() < 0.95:
            token = mutated(random, token, self.court.ring, self.tokens)
        request = message(random, token, self.handles)
        try:
            verdict = self.court.decide(request)
        except Exception as error:
            raise self._broken(f"it raised {error!r}", request) from error
        self.done += 1
        self.outcomes[verdict.reason or "allowed"] += 1
        if handle := verdict.headers.get("x-attache-context"):
            self.handles.append(handle)
        if why := self._wrong(request, verdict):
            raise self._broken(why, request)

    def _broken(self, why: str, request: bytes) -> Broken:
        before = logging.root.manager.disable
        logging.disable(logging.NOTSET)
        self.court.decide(request)  # once more, for the stack trace in the log
        logging.disable(before)
        return Broken(f"{why}; seed {self.seed}, request {self.done}: {request.hex()}")

    def _wrong(self, request: bytes, verdict: Verdict) -> str:
        """What is wrong with *verdict*, judged by the request's own bytes; empty if nothing is."""
        try:
            attributes = CheckRequest.FromString(request).attributes
        except DecodeError:
            return "an unreadable request was allowed" if verdict.allowed else ""
        direction = attributes.context_extensions.get("direction", "")
        if direction not in ("inbound", "outbound"):
            return "a request without a direction was allowed" if verdict.allowed else ""
        http = attributes.request.http
        if not http.method:
            return "a Check of no HTTP request was allowed" if verdict.allowed else ""
        if (http.body or http.raw_body) and attributes.context_extensions.get("body") != "shown":
            return "a body that nobody asked for was allowed" if verdict.allowed else ""
        said = attributes.context_extensions
        unlisted = said.get("unmatched") == "passthrough" and said.get("headers") != "listed"
        if unlisted and ":path" not in http.headers:
            return "a passthrough that hides headers was allowed" if verdict.allowed else ""
        if verdict.reason == "internal_error":
            return "a well-formed request ended in internal_error"
        if not verdict.allowed:
            return "" if 400 <= verdict.status <= 599 else f"a denial has status {verdict.status}"
        for name, value in verdict.headers.items():
            if _CONTROL.search(value) or name in verdict.removed or name.startswith(":"):
                return f"the header {name!r} is written as {value!r}"
        if direction == "outbound":
            return self._wrong_outbound(
                attributes.context_extensions.get("destination", ""), verdict
            )
        return self._wrong_inbound(http, verdict)

    def _wrong_inbound(self, http: object, verdict: Verdict) -> str:
        shown = verdict.headers
        if missing := [n for n in _IDENTITY if n not in shown and n not in verdict.removed]:
            return f"{missing} are neither written nor removed"
        path, method = str(getattr(http, "path", "")), getattr(http, "method", "")
        if method == "GET" and path.partition("?")[0] in ("/healthz", "/healthz/"):
            return "an anonymous caller has a subject" if "x-auth-subject" in shown else ""
        if not path.startswith("/api/"):
            return f"{path!r} was allowed"
        scheme, _, token = _authorization(http).partition(" ")
        whose = oracle.subject(token, self.trusted) if scheme.lower() == "bearer" else None
        if whose is None:
            return "nobody's token was allowed"
        given = shown.get("x-auth-subject")
        if given is not None and given not in (whose, _quoted(whose)):
            return f"{whose!r} was shown as {given!r}"
        return ""

    def _wrong_outbound(self, destination: str, verdict: Verdict) -> str:
        if destination == "open":
            return ""
        injected = verdict.headers.get("authorization", "")
        if destination != "notes":
            return f"a call to {destination!r} was allowed"
        if oracle.subject(injected.removeprefix("Bearer "), self.trusted) is None:
            return "a token that is nobody's was sent on"
        return ""


def _quoted(text: str) -> str:
    """As a header may carry it: percent-encoded UTF-8 where it is not plain ASCII."""
    return "".join(
        each if " " <= each <= "~" and each != "%" else "".join(f"%{b:02X}" for b in each.encode())
        for each in text
    )


def _authorization(http: object) -> str:
    """The one Authorization of a request, as Envoy would merge several (ENVOY.md)."""
    headers = getattr(http, "headers", {})
    if headers:
        return str(headers.get("authorization", ""))
    found = [
        header.value or header.raw_value.decode("latin-1")
        for header in getattr(http, "header_map").headers  # noqa: B009
        if header.key.lower() == "authorization"
    ]
    return ",".join(found)


def rss_mb() -> float:
    """This process's resident memory now."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> int:
    """Run until the time is over, or something breaks."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=None, help="to see a failure again")
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    seed = secrets.randbits(32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    with Court(maxTokens=1000, maxContexts=1000) as court:
        fuzz, memory = Fuzz(court, seed), []
        end = time.monotonic() + options.seconds
        try:
            while time.monotonic() < end:
                fuzz.one()
                if fuzz.done % _REST == 0:
                    memory.append(rss_mb())
                    print(f"{fuzz.done} requests, {memory[-1]:.0f} MB", flush=True)
        except Broken as broken:
            print(broken, file=sys.stderr)
            return 1
    print(f"{fuzz.done} requests: {dict(fuzz.outcomes.most_common())}")
    half = len(memory) // 2
    if half > 2 and memory[-1] > memory[half] * 1.2:
        print(f"memory grew in the second half: {memory[half]:.0f} to {memory[-1]:.0f} MB")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
