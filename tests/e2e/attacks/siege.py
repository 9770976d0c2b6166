"""Two pods under siege, one of them at the edge, and what holds whatever is thrown at them."""

# ruff: noqa: E501 - tables are read by the row
from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envoy.service.auth.v3.external_auth_pb2 import CheckResponse

from tests.e2e.attacks.recorder import Recorder, Seen
from tests.e2e.attacks.sockets import Bytes, Heard, Talks, Where, request
from tests.e2e.contract_inbound_tools import Key, Pod, Site, life, until

FORGED = b"forged"
"""Every value that an attacker makes up holds this word: the application must never see it."""

IDENTITY = (
    *("x-auth-kind", "x-auth-subject", "x-auth-tenant", "x-auth-client", "x-auth-scopes"),
    *("x-auth-roles", "x-auth-issuer", "x-auth-name", "x-auth-email", "x-team"),
)
"""What we write, with an extra header of the operator's."""
CONTROL = "/api/control"

OWN = ("socket", "xds")
"""Where the agent is asked directly, by whoever is inside the pod."""
GRPCIO = os.environ.get("ATTACHE_TRANSPORT") == "grpcio"
_NOT_UTF8 = """Invalid encoding on b'\\xff\\xfe'
  | Traceback (most recent call last):"""

Says = Callable[["Siege"], bytes | Talks]
Saw = Callable[[Seen, "Siege"], bool]


@dataclass(frozen=True)
class Attack:
    """One row: what is said, what is answered, and what the application saw of it.

    `answer` holds the words of all answers, with commas; `|` separates what is equally right.
    `reason` is ours, or `envoy` where the agent was never needed. `saw` is how many requests the
    application saw; each must be free of what was forged and keep *clean*. `at` is the `pod`, the
    `edge`, or one of the agent's own sockets: `socket` and `xds`.
    """

    name: str
    says: Says
    answer: str
    reason: str = ""
    saw: int = 0
    clean: Saw | None = None
    at: str = "pod"


class Stalling(Site):
    """A provider whose keys come when *gate* is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        super().__init__()

    def answer(self, request: http.server.BaseHTTPRequestHandler) -> tuple[int, bytes]:
        if request.path == "/jwks":
            self.gate.wait(30)
        return super().answer(request)


class Siege:
    """Two issuers, two pods with one recording application each, and the tokens of three callers."""

    def __init__(self, folder: Path) -> None:
        self.key, self.gateway = Key("r1"), Key("g1", "EC", workload="shop/gw")
        self.site, self.slow = Site(), Stalling()
        for site in (self.site, self.slow):
            site.pages |= {
                "/realm/.well-known/openid-configuration": {
                    "issuer": site.url + "/realm",
                    "jwks_uri": site.url + "/jwks",
                },
                "/jwks": {"keys": [self.key.jwk]},
            }
        self.iss = self.site.url + "/realm"
        (folder / "mesh.json").write_text(json.dumps({"keys": [self.gateway.jwk]}))
        self.app, self.edge_app = Recorder(), Recorder()
        wanted = self.configuration(folder)
        self.pod = Pod(folder / "pod", wanted, app=self.app)
        at_edge = wanted | {"listeners": {"edge": True}}
        self.edge = Pod(folder / "edge", at_edge, app=self.edge_app)
        # One user with a scope, made once: the canary that must stand in no output.
        self.user = self.token()

    def configuration(self, folder: Path) -> dict[str, Any]:
        mesh = {"trustDomain": "m.internal", "audience": "judged", "issuers": ["https://gw"]}
        return {
            "issuers": [
                {"name": "partner", "oidc": {"issuer": self.iss, "audiences": ["a"]}},
                {"name": "slow", "oidc": {"issuer": self.slow.url + "/realm", "audiences": ["a"]}},
                {"name": "mesh", "internal": mesh | {"jwks": {"file": str(folder / "mesh.json")}}},
            ],
            "inbound": {"headers": {"x-team": "team", "x-auth-name": "nick"}},
            "routes": [
                {"path": "/admin/**", "require": {"anyRole": ["Admin"]}},
                {"path": "/api/**", "require": {"scopes": ["read"]}},
                {"path": "/ws/**", "require": {"scopes": ["read"]}},
                {"path": "/inner/**", "hosts": ["inner.test"], "anonymous": True},
                {"path": "/inner/**", "require": {"anyRole": ["Admin"]}},
                # Last and wide, so that a path which slips past the rules above would get through.
                {"path": "/**", "anonymous": True},
            ],
        }

    def __enter__(self) -> Siege:
        with ThreadPoolExecutor(2) as both:
            list(both.map(Pod.__enter__, (self.pod, self.edge)))
        for edge in (False, True):
            until(lambda edge=edge: self._control(edge) == "200", "the issuer's keys")
        return self

    def __exit__(self, *_: object) -> None:
        self.edge.__exit__(None, None, None)
        self.pod.__exit__(None, None, None)
        self.site.down()
        self.slow.down()

    # tokens -------------------------------------------------------------------------------

    def token(self, key: Key | None = None, **claims: Any) -> str:
        base = {"iss": self.iss, "aud": "a", "sub": "ann", "azp": "spa", "scope": "read", **life()}
        return (key or self.key).token(base | claims)

    def internal(self) -> str:
        claims = {"iss": "https://gw", "aud": "judged", "sub": "s", "txn": "t", "scope": "read",
                  "client_id": "shop/gw", "act": {"sub": "shop/gw"}, "hops": 1, "jti": "j"}  # fmt: skip
        return self.gateway.token(claims | life(300), typ="at+jwt")

    @property
    def bearer(self) -> str:
        """The header line of the user."""
        return f"Authorization: Bearer {self.user}"

    @property
    def field(self) -> tuple[bytes, bytes]:
        """The same for HTTP/2."""
        return b"authorization", f"Bearer {self.user}".encode()

    # the siege ----------------------------------------------------------------------------

    def attack(self, row: Attack) -> Heard:
        """Do it, and hold every promise against what came of it."""
        heard, seen, raw = self.strike(row)
        if row.at in OWN and GRPCIO:  # which words a library has for nonsense is its own matter
            assert not any(_allows(body) for body in heard.bodies), heard.bodies
        else:
            assert heard.text in row.answer.split("|"), (heard.words, heard.bodies, seen)
        if row.reason:
            assert set(heard.reasons) <= set(row.reason.split("|")), heard.bodies
        assert len(seen) == row.saw, seen
        assert row.saw or _is_nothing(raw), raw
        assert FORGED not in raw.lower(), raw
        for one in seen:
            assert FORGED.decode() not in repr(one).lower(), one
            assert row.clean is None or row.clean(one, self), one
        return heard

    def strike(self, row: Attack) -> tuple[Heard, list[Seen], bytes]:
        """(what was answered, what the application saw, its bytes); then all must be well."""
        app = self.edge_app if row.at == "edge" else self.app
        requests, size = len(app.requests), len(app.raw)
        heard = self.hear(row)
        assert self._control(row.at == "edge") == "200", "an honest request no longer passes"
        seen = app.requests[requests:]
        return heard, [one for one in seen if one.target != CONTROL], bytes(app.raw[size:])

    def hear(self, row: Attack) -> Heard:
        """Only say it, and hear what is answered."""
        said = row.says(self)
        talk = Bytes((said,)) if isinstance(said, bytes) else said
        try:
            return talk.exchange(self.where(row.at), row.answer.partition("|")[0].count(",") + 1)
        except TimeoutError:
            if row.at in OWN and GRPCIO:
                return Heard(["deaf"])  # it reads no more from one who does not read
            raise

    def where(self, at: str) -> Where:
        socket = self.pod.socket
        places: dict[str, Where] = {
            "pod": self.pod.port,
            "edge": self.edge.port,
            "socket": socket,
            "xds": socket.with_name(f"{socket.stem}-xds{socket.suffix}"),
        }
        return places[at]

    def _control(self, edge: bool) -> str:
        pod = self.edge if edge else self.pod
        return Bytes((request(CONTROL, self.bearer),)).exchange(pod.port, 1).text

    def unharmed(self) -> None:
        """Both programs live, the log holds no stack trace and no token."""
        for pod in (self.pod, self.edge):
            assert [process.poll() for process in pod.processes] == [None, None]
            output = pod.output()
            if GRPCIO:  # it traces headers that are not UTF-8, and leaves them out
                output = output.replace(_NOT_UTF8, "")
            for trace in ("Traceback", "This is a bug", "panicked", "Segmentation"):
                assert trace not in output, output[max(0, output.find(trace) - 500) :][:3000]
            assert self.user not in output
            assert self.user.split(".")[2] not in output


def _allows(body: bytes) -> bool:
    """Whether a gRPC message, if it is one, is an allow: an empty one is, to Envoy."""
    if len(body) < 5:
        return False
    answer = CheckResponse.FromString(body[5 : 5 + int.from_bytes(body[1:5])])
    return answer.status.code == 0 or not answer.HasField("denied_response")


def _is_nothing(raw: bytes) -> bool:
    """Whether the application got the honest request's bytes and no other."""
    start = raw.startswith(f"GET {CONTROL} HTTP/1.1\r\n".encode())
    return start and raw.endswith(b"\r\n\r\n") and raw.count(b"\r\n\r\n") == 1


def anonymous(seen: Seen, _: Siege) -> bool:
    """Nobody's request: no identity, no credential."""
    return not any(seen.all(name) for name in (*IDENTITY, "authorization"))


def ann(seen: Seen, siege: Siege) -> bool:
    """The user's request: each header once, and the one credential that was verified."""
    wanted = {
        "x-auth-kind": "user", "x-auth-subject": "ann", "x-auth-client": "spa", "x-auth-scopes": "read",
        "x-auth-issuer": siege.iss,
    }  # fmt: skip
    empty = ("x-auth-tenant", "x-auth-roles", "x-auth-name", "x-auth-email", "x-team")
    once = ("x-attache-context", "x-request-id", "x-correlation-id", "traceparent", "baggage")
    return (
        all(seen.all(name) == [value] for name, value in wanted.items())
        and [one.partition(" ")[2] for one in seen.all("authorization")] == [siege.user]
        and not any(seen.all(name) for name in empty)
        and all(len(seen.all(name)) == 1 for name in once)
    )
