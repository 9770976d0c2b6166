"""What is measured? Each row starts what it needs, and no row shares an agent with another."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import requests

from bench import envoys, goserver, provider
from bench.agent import HANDLE, HERE, Listening, Pair, environment
from bench.process import Measured, envoy, free_port, listening, require_envoy

Requests = Callable[[], Iterator[bytes]]


@dataclass(frozen=True)
class Row:
    """One thing to measure: where requests go, whose CPU counts, what is sent."""

    name: str
    port: int
    envoy: Measured
    agent: Measured | None
    requests: Requests
    share: float = 1.0  # of the usual number of requests


def request(path: str, headers: dict[str, str], host: str = "api.bench") -> bytes:
    """One HTTP/1.1 request as bytes."""
    lines = [f"GET {path} HTTP/1.1", f"host: {host}", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Stand:
    """What rows stand on: the identity provider, an application, another one that it calls.

    *fresh*: how many tokens are made for the row that needs a new one each time.
    """

    def __init__(self, stack: ExitStack, folder: Path, fresh: int = 0) -> None:
        self.stack, self.folder, self._fresh = stack, folder, fresh
        self.idp = stack.enter_context(provider.provider())
        self.token = provider.user_token(self.idp)
        self.known = request("/api/tasks", {"authorization": f"Bearer {self.token}"})
        self.application, self.store = self.an_application(), self.an_application()

    def an_application(self) -> int:
        """The port of a new one that costs next to nothing."""
        port = free_port()
        self.an_envoy(envoys.application(port), "application", port)
        return port

    def an_envoy(self, config: envoys.Json, name: str, port: int) -> Measured:
        """A new Envoy that listens on *port*."""
        started = envoy(require_envoy(), config, self.folder, f"{name}-{port}")
        self.stack.enter_context(started)
        started.wait_until(lambda: listening(port), name)
        return started

    def a_pair(
        self,
        name: str,
        behind: int | None = None,
        changes: dict[str, Any] | None = None,
        tree: Path = HERE,
    ) -> Pair:
        """A new agent with its Envoy, before the application or what listens on *behind*."""
        folder = self.folder / name
        folder.mkdir()
        at = self.application if behind is None else behind
        pair = Pair(self.idp, at, self.store, folder, changes=changes, tree=tree)
        self.stack.enter_context(pair.agent)
        self.stack.enter_context(pair.envoy)
        for port in (pair.inbound, pair.outbound):
            pair.envoy.wait_until(lambda port=port: listening(port), f"the Envoy of '{name}'")  # type: ignore[misc]
        return pair

    def behind_a_socket(self, name: str, command: list[str]) -> Row:
        """A row of *command*, an ext_authz server that gets the path of its socket."""
        socket, port = self.folder / f"{name}.sock", free_port()
        server = Measured([*command, str(socket)], self.folder / f"{name}.log", environment(HERE))
        self.stack.enter_context(server)
        server.wait_until(socket.exists, name)
        asking = self.an_envoy(envoys.noop(port, self.application, socket), name, port)
        return Row(name, port, asking, server, lambda: repeat(self.known))

    def new_tokens(self) -> Requests:
        """A request with a token that was never seen, each time."""
        supply = iter([provider.user_token(self.idp) for _ in range(self._fresh)])

        def each_new() -> Iterator[bytes]:
            for token in supply:
                yield request("/api/tasks", {"authorization": f"Bearer {token}"})

        return each_new


def no_auth(stand: Stand, name: str, _tree: Path) -> Row:
    """Envoy as a proxy and nothing else."""
    port = free_port()
    plain = stand.an_envoy(envoys.plain(port, stand.application), "plain", port)
    return Row(name, port, plain, None, lambda: repeat(stand.known))


def jwt_authn(stand: Stand, name: str, _tree: Path) -> Row:
    """Envoy's own validator."""
    issuer = f"{stand.idp.base_url}/{provider.TENANT}/v2.0"
    port, keys = free_port(), provider.keys(stand.idp)
    config = envoys.jwt_authn(port, stand.application, issuer, provider.API, keys)
    return Row(name, port, stand.an_envoy(config, "jwt", port), None, lambda: repeat(stand.known))


def noop_python(stand: Stand, name: str, _tree: Path) -> Row:
    """grpcio's server that says OK."""
    return stand.behind_a_socket(name, [sys.executable, "-m", "bench.noop"])


def noop_go(stand: Stand, name: str, _tree: Path) -> Row | None:
    """Go's server that says OK."""
    program = goserver.built()
    return stand.behind_a_socket(name, [str(program)]) if program else None


def inbound_hit(stand: Stand, name: str, tree: Path) -> Row:
    """A token that was seen before; scope, role and caller checked; audit on."""
    pair = stand.a_pair(folder_name(name), tree=tree)
    return Row(name, pair.inbound, pair.envoy, pair.agent, lambda: repeat(stand.known))


def inbound_hit_grpcio(stand: Stand, name: str, tree: Path) -> Row:
    """The same over the other transport."""
    changes = {"agent": {"transport": "grpcio"}}
    pair = stand.a_pair(folder_name(name), changes=changes, tree=tree)
    return Row(name, pair.inbound, pair.envoy, pair.agent, lambda: repeat(stand.known))


def inbound_new(stand: Stand, name: str, tree: Path) -> Row:
    """A token that was never seen: its signature is verified."""
    pair = stand.a_pair(folder_name(name), tree=tree)
    return Row(name, pair.inbound, pair.envoy, pair.agent, stand.new_tokens(), 0.25)


def gateway(stand: Stand, name: str, tree: Path) -> Row:
    """An inbound hit whose token is swapped for an internal one, which is cached.

    It serves one transaction, so the same one is said to go on; each new one has it minted anew.
    """
    return _gateway(stand, name, tree, {"x-correlation-id": str(uuid.uuid4())})


def gateway_minted(stand: Stand, name: str, tree: Path) -> Row:
    """The same, each request a transaction of its own: a token is signed each time."""
    return _gateway(stand, name, tree, {})


def _gateway(stand: Stand, name: str, tree: Path, headers: dict[str, str]) -> Row:
    keys = stand.folder / f"{folder_name(name)}-keys"
    keys.mkdir()
    key = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout"]
    subprocess.run([*key, "-out", str(keys / "one.pem")], check=True)
    internal = {"issuer": "https://api.bench.internal", "trustDomain": "bench.internal"}
    changes = {
        "inbound": {"forward": "internal"},
        "internalTokens": {**internal, "keys": str(keys), "publishDelay": "1s"},
    }
    pair = stand.a_pair(folder_name(name), changes=changes, tree=tree)
    bearer = {"authorization": f"Bearer {stand.token}"}
    known = request("/api/tasks", bearer | headers)
    return Row(name, pair.inbound, pair.envoy, pair.agent, lambda: repeat(known))


def outbound_hit(stand: Stand, name: str, tree: Path) -> Row:
    """A call of the application: its caller found, an OBO token injected that is cached."""
    learn = free_port()
    # The application tells us the handle: an outbound call is made under it.
    app = Listening(learn)
    pair = stand.a_pair(folder_name(name), behind=learn, tree=tree)
    bearer = {"authorization": f"Bearer {stand.token}"}
    url = f"http://127.0.0.1:{pair.inbound}/api/x"
    requests.get(url, headers=bearer, timeout=10).raise_for_status()
    app.stop()
    call = request("/things", {HANDLE: app.handle}, host="store.bench")
    return Row(name, pair.outbound, pair.envoy, pair.agent, lambda: repeat(call))


def folder_name(name: str) -> str:
    """A row's name as a folder's, short enough for a Unix socket in it."""
    return "".join(each if each.isalnum() else "-" for each in name)[:24]


Make = Callable[[Stand, str, Path], Row | None]
ROWS: dict[str, Make] = {
    "no auth": no_auth,
    "jwt_authn": jwt_authn,
    "no-op ext_authz (grpcio)": noop_python,
    "no-op ext_authz (Go)": noop_go,
    "inbound hit": inbound_hit,
    "inbound hit (transport grpcio)": inbound_hit_grpcio,
    "inbound, new token": inbound_new,
    "gateway hit (internal token)": gateway,
    "gateway, token minted each time": gateway_minted,
    "outbound hit (obo)": outbound_hit,
}
