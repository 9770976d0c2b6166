"""A pod's own network: a namespace whose packets are redirected to Envoy, as a pod's are.

Needs root and iptables. Envoy runs in a group of its own, by which its packets are known.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

from tests.e2e.contract_outbound_tools import Pod

PROXY_GROUP = 1337
_INSIDE, _OUTSIDE = "10.77.{n}.2", "10.77.{n}.1"

# What the application does: connects, says something, and reads until the other side is done.
_TALK = """
import json, socket, ssl, sys
asked = json.loads(sys.argv[1])
said = b""
try:
    connection = socket.create_connection((asked["host"], asked["port"]), timeout=asked["timeout"])
    if asked["tls"] is not None:
        context = ssl._create_unverified_context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        connection = context.wrap_socket(connection, server_hostname=asked["tls"] or None)
    if asked["listen"]:
        said += connection.recv(65536)
    if asked["text"]:
        connection.sendall(asked["text"].encode())
    while asked["enough"] not in said.decode("latin-1") or not asked["enough"]:
        got = connection.recv(65536)
        if not got:
            break
        said += got
    ended = "closed"
except TimeoutError:
    ended = "silence"
except OSError as error:
    ended = type(error).__name__
print(json.dumps({"said": said.decode("latin-1"), "ended": ended}))
"""


def missing() -> str:
    """Why there can be no such network here; empty where there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for name in ("ip", "iptables", "setpriv"):
        if shutil.which(name) is None:
            return f"there is no {name}"
    tried = subprocess.run(
        ["unshare", "-n", "iptables", "-t", "nat", "-L"], capture_output=True, check=False
    )
    return "" if tried.returncode == 0 else "iptables cannot be used here"


class Network:
    """A namespace, joined to ours by one cable; `outside` is our address on it."""

    def __init__(self) -> None:
        tag = uuid.uuid4().hex[:6]
        self.name, self._cable = f"att-{tag}", (f"ao{tag}", f"ai{tag}")
        taken = _run("ip", "-4", "-o", "address")
        n = next(n for n in range(1, 255) if f" {_OUTSIDE.format(n=n)}/" not in taken)
        self.inside, self.outside = _INSIDE.format(n=n), _OUTSIDE.format(n=n)
        _run("ip", "netns", "add", self.name)
        ours, theirs = self._cable
        _run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs)
        _run("ip", "link", "set", theirs, "netns", self.name)
        _run("ip", "address", "add", f"{self.outside}/24", "dev", ours)
        _run("ip", "link", "set", ours, "up")
        self.run("ip", "address", "add", f"{self.inside}/24", "dev", theirs)
        self.run("ip", "link", "set", theirs, "up")
        self.run("ip", "link", "set", "lo", "up")
        self.run("ip", "route", "add", "default", "via", self.outside)

    def redirect(self, port: int) -> None:
        """Send every connection that leaves to *port*, but those of Envoy itself."""
        self.run(
            *("iptables", "-t", "nat", "-A", "OUTPUT", "-p", "tcp"),
            *("!", "-d", "127.0.0.0/8", "-m", "owner", "!", "--gid-owner", str(PROXY_GROUP)),
            *("-j", "REDIRECT", "--to-ports", str(port)),
        )

    def run(self, *command: str) -> str:
        return _run("ip", "netns", "exec", self.name, *command)

    def within(self, *command: str) -> list[str]:
        """*command*, as it is started in the namespace."""
        return ["ip", "netns", "exec", self.name, *command]

    def talk(
        self,
        host: str,
        port: int,
        text: str = "",
        tls: str | None = None,
        enough: str = "",
        listen: bool = False,
        timeout: float = 30,
    ) -> tuple[str, str]:
        """What the application hears that says *text* there, and how it ended.

        *tls*: over TLS, with this server name ("": none). *listen*: it waits to be greeted first.
        """
        asked = {"host": host, "port": port, "text": text, "tls": tls, "enough": enough}
        asked |= {"listen": listen, "timeout": timeout}
        found: dict[str, Any] = json.loads(self.run(sys.executable, "-c", _TALK, json.dumps(asked)))
        return found["said"], found["ended"]

    def stop(self) -> None:
        subprocess.run(["ip", "netns", "delete", self.name], check=False)


class PodInside(Pod):
    """A pod whose Envoy is in *network*; the agent is reached by its Unix socket, from anywhere."""

    def __init__(self, network: Network, folder: Path, config: dict[str, Any]) -> None:
        self._network = network
        super().__init__(folder, config)
        network.redirect(self.outbound)

    def started(self, command: list[str]) -> list[str]:
        group = ("setpriv", "--regid", str(PROXY_GROUP), "--keep-groups")
        return self._network.within(*group, *command)

    def listens(self, port: int) -> bool:
        table = Path(f"/proc/{self.envoy.pid}/net/tcp").read_text().splitlines()[1:]
        rows = [line.split() for line in table]
        return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Raw:
    """A TCP server: greets where there is a *greeting*, then says back what it hears."""

    def __init__(self, address: str, greeting: bytes = b"", tls: Any = None) -> None:
        self.heard: list[bytes] = []
        self._greeting, self._tls = greeting, tls
        self._socket = socket.create_server((address, 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        try:
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection:
                if self._greeting:
                    connection.sendall(self._greeting)
                while data := connection.recv(65536):
                    self.heard.append(data)
                    connection.sendall(b"echo " + data)
        except OSError:
            pass

    def stop(self) -> None:
        self._socket.close()
