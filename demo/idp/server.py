"""Where does the provider listen? The composition root: it constructs and starts all."""

import os
import secrets
import shutil
import ssl
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding
from flask import Flask

from demo.idp import certificates, metadata
from demo.idp.control import control
from demo.idp.counters import Counters
from demo.idp.directory import Directory
from demo.idp.faults import Fault
from demo.idp.flows import user_flows
from demo.idp.keys import KeyRing, new_ring
from demo.idp.listener import Listener
from demo.idp.routes import metadata_service, public, watch
from demo.idp.settings import Names, Settings
from demo.idp.signin import sign_in
from demo.idp.world import World


class IdentityProvider:
    """A local identity provider; use it as a context manager, or call `start` and `stop`.

    It speaks TLS under its own CA (`ca_file`). Instance metadata is served in plain http
    as well (`imds_url`), as on a cloud machine. *state* keeps the CA and the control key
    from one run to the next; without it they live in a folder that `stop` removes.
    *clock* returns UTC seconds since the epoch. *names* are further host names for the
    certificate; *base_url* is what clients call, if it is not `https://localhost:PORT`.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        settings: Settings | None = None,
        clock: Callable[[], float] = time.time,
        state: Path | None = None,
        ring: KeyRing | None = None,
    ) -> None:
        self._settings = settings or Settings()
        self._clock = clock
        self._temporary = state is None
        self._state = state or Path(tempfile.mkdtemp(prefix="idp-"))
        self._ring = ring or new_ring(clock(), _flows(directory))
        self._directory = directory
        self._listeners: list[Listener] = []
        self._world: World | None = None
        self.control_key = secrets.token_urlsafe(24)
        self.base_url = ""
        self.imds_url = ""

    @property
    def ca_file(self) -> Path:
        """The CA certificate that clients verify the provider with."""
        return self._state / "ca.pem"

    @property
    def control_key_file(self) -> Path:
        """The control key, readable by its owner only."""
        return self._state / "control-key"

    @property
    def world(self) -> World:
        """The state, once started: keys, sessions, faults, counters."""
        if self._world is None:
            raise RuntimeError("the identity provider is not started")
        return self._world

    @property
    def counters(self) -> Counters:
        """How often each endpoint was asked."""
        return self.world.counters

    def start(
        self,
        port: int = 0,
        host: str = "127.0.0.1",
        *,
        imds_port: int = 0,
        names: tuple[str, ...] = (),
        base_url: str | None = None,
    ) -> "IdentityProvider":
        """Listen on *port* (0: any free one) and serve until `stop`."""
        self._state.mkdir(parents=True, exist_ok=True)
        _write_private(self.control_key_file, self.control_key.encode())
        outer, inner = Flask("idp"), Flask("imds")
        listener = Listener(host, port, outer, self._tls(names))
        instance = Listener(host, imds_port, inner, None)
        self.base_url = (base_url or f"https://localhost:{listener.port}").rstrip("/")
        self.imds_url = f"http://127.0.0.1:{instance.port}"
        world = World(
            self._directory, self._ring, Names(self.base_url, self._settings), self._clock
        )
        self._world = world
        outer.register_blueprint(public(world))
        outer.register_blueprint(sign_in(world))
        outer.register_blueprint(user_flows(world))
        outer.register_blueprint(control(world, self.control_key))
        for app in (outer, inner):
            app.register_blueprint(metadata_service(world))
            # What breaks must reach the listener: it drops the connection then.
            app.config["PROPAGATE_EXCEPTIONS"] = True
            watch(app, world)
        self._listeners = [listener, instance]
        for each in self._listeners:
            each.start()
        return self

    def stop(self) -> None:
        """Let go what hangs, stop serving, and remove what was temporary."""
        if self._world is not None:
            self._world.faults.clear()
        for listener in self._listeners:
            listener.stop()
        self._listeners = []
        if self._temporary:
            shutil.rmtree(self._state, ignore_errors=True)

    def __enter__(self) -> "IdentityProvider":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def authority(self, tenant: str) -> str:
        """Return the authority URL of a tenant, a domain name or an alias."""
        return f"{self.base_url}/{tenant}"

    def fault(self, fault: Fault) -> None:
        """Put a fault in force."""
        self.world.faults.post(fault)

    def clear_faults(self) -> None:
        """End all faults."""
        self.world.faults.clear()

    def change(self, edit: Callable[..., Directory], **arguments: Any) -> None:
        """Apply one of `demo.idp.edits` to the directory."""
        self.world.change(lambda directory: edit(directory, **arguments))

    def rotate(self) -> str:
        """Publish a new key, sign with it, and return its kid."""
        return self.world.rotate()

    def mint(self, claims: Mapping[str, Any], kid: str | None = None, version: int = 2) -> str:
        """Sign any claims at all: for tokens that must be refused."""
        return self.world.mint(claims, kid, version)

    def _tls(self, names: tuple[str, ...]) -> ssl.SSLContext:
        authority_file = self._state / "ca-key.pem"
        if authority_file.exists():
            ca = certificates.read(authority_file.read_bytes())
        else:
            ca = certificates.authority(time.time())
            _write_private(authority_file, ca.pem())
        self.ca_file.write_bytes(ca.certificate.public_bytes(Encoding.PEM))
        # The clock of the tokens may be a test's own; whoever verifies TLS looks at a real one.
        served = dict.fromkeys((*certificates.LOOPBACK_NAMES, *names))
        leaf = certificates.leaf(ca, served, time.time())
        chain_file = self._state / "tls.pem"
        _write_private(chain_file, leaf.pem())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(chain_file)
        return context


def _flows(directory: Directory) -> list[str]:
    return [
        metadata.flow_scope(tenant, policy)
        for tenant in directory.tenants
        for policy in tenant.policies
    ]


def _write_private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
