"""What must stand before the play begins? The identity provider and every pod, for real."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from dataclasses import replace
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from demo import trust
from demo.child import ROOT, Child
from demo.idp.directory import Directory, User
from demo.idp.dumping import dump
from demo.idp.loading import load_file
from demo.people import CROWD, TASK_API, SignIn, with_crowd
from demo.pod import SERVICES, Addresses, Pod, Service, envoy, tool
from demo.ports import Ports
from demo.waiting import NotInTime, until
from demo.wiretap import Wiretap

DIRECTORY = ROOT / "demo" / "directory.yaml"
AT_ONCE = 4  # pods that come up at the same time: more only wait for each other's CPU


class Stage:
    """The identity provider, the wires and the pods of one run; a context manager.

    *services* are the pods to start. With *idle* nothing is started but what is asked for
    (`start_idp`, `pods[…].start`): the tests of faults do so. *folder* holds everything of the
    run, its name short enough for Unix sockets; a temporary one is removed at the end unless
    *keep* is set or something failed.
    """

    def __init__(
        self,
        services: Iterable[Service] = SERVICES,
        *,
        crowd: int = CROWD,
        log_level: str = "info",
        keep: bool = False,
        idle: bool = False,
    ) -> None:
        envoy()  # what is missing is said before anything is made
        tool("attache")
        tool("opentelemetry-instrument")
        self.keep = keep
        self._idle = idle
        self._stopping = False
        self._ports = Ports()
        self.folder = Path(tempfile.mkdtemp(prefix="attache-demo-"))
        self.seconds_to_start = 0.0
        self.directory: Directory = with_crowd(load_file(DIRECTORY), crowd)
        named = len(self.directory.users) - crowd
        self.people = {u.username.partition("@")[0]: u for u in self.directory.users[:named]}
        self.crowd: tuple[User, ...] = self.directory.users[named:]
        self.wire = Wiretap()
        self._idp_port = self._ports.take()
        self._state = self.folder / "idp"
        self.idp_process = self._identity_provider()
        self.pods = {
            service.name: Pod(service, self._addresses(), self.folder / service.name, log_level)
            for service in services
        }

    @property
    def authority(self) -> str:
        """The identity provider's base URL."""
        return f"https://localhost:{self._idp_port}"

    @property
    def ca_file(self) -> Path:
        """What the identity provider's TLS is verified by."""
        return self._state / "ca.pem"

    @property
    def idp(self) -> SignIn:
        """The running identity provider."""
        return SignIn(
            self.authority, self._state / "ca.pem", (self._state / "control-key").read_text()
        )

    @property
    def children(self) -> list[Child]:
        """Every process of this run."""
        return [self.idp_process, *(c for pod in self.pods.values() for c in pod.children)]

    def start(self) -> Stage:
        """Start everything and wait for a real answer of each; `StartFailed` says what did not."""
        began = time.monotonic()
        try:
            self._lay_out()
            self.wire.start()
            for pod in self.pods.values():
                self.wire.relay(pod.name, pod.at.wire, pod.at.inbound)
            if not self._idle:
                self.start_idp()
                self._start_pods()
        except BaseException as reason:
            self.keep = self.keep or isinstance(reason, Exception)  # its logs are needed now
            self.stop()
            raise
        self.seconds_to_start = time.monotonic() - began
        return self

    def start_idp(self) -> None:
        """Start the identity provider and wait until it answers."""
        self.idp_process.start()
        ca = self._state / "ca.pem"
        self.idp_process.come_up(lambda: ca.exists() and self._announced() and self.idp.answers())

    def stop(self) -> None:
        """End everything that was started, and tidy up; a second Ctrl-C does not hurry it."""
        self._stopping = True
        with _undisturbed():
            self._end_children()
            self.wire.stop()
            if not self.keep:
                shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Stage:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def decisions(self, txn: str, at_least: int = 1) -> list[dict[str, Any]]:
        """The audit records of one transaction, of all pods joined, in order of time.

        Records are written beside the requests, so *at_least* so many are waited for, with a
        bound: what is missing after it, the caller's checks will say.
        """

        def joined() -> list[dict[str, Any]]:
            return [
                {**record, "at": pod.name}
                for pod in self.pods.values()
                for record in pod.decisions()
                if record.get("txn") == txn
            ]

        with contextlib.suppress(NotInTime):
            until(lambda: len(joined()) >= at_least, "the audit records", bound=8)
        return sorted(joined(), key=lambda record: str(record["time"]))

    def free_port(self) -> int:
        """A port that nobody of this run has."""
        return self._ports.take()

    def render(self, pod: Pod) -> None:
        """Write a pod's attache.yaml anew."""
        called = {name: str(self._wire_to(name)) for name in pod.service.calls}
        pod.render(
            {
                "authority": self.authority,
                "ca": str(self._state / "ca.pem"),
                "secrets": str(self.folder / "secrets"),
                "trust": str(self.folder / "trust.json"),
                "keys": str(self.folder / "keys" / pod.name),
                **called,
            }
        )

    def _start_pods(self) -> None:
        pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="stage")
        rising = [pool.submit(self._up, pod) for pod in self.pods.values()]
        try:
            for done in as_completed(rising):
                done.result()
        except BaseException:
            self._stopping = True
            pool.shutdown(wait=False, cancel_futures=True)
            with _undisturbed():  # who was about to start a child starts it, and it ends here
                while left := [one for one in rising if not one.done()]:
                    self._end_children()
                    wait(left, timeout=0.2)
            raise
        pool.shutdown()

    def _up(self, pod: Pod) -> None:
        if self._stopping:
            return
        pod.start()
        pod.come_up()

    def _end_children(self) -> None:
        programs = [pod.program for pod in self.pods.values()]
        rest = [child for child in self.children if child not in programs]
        for group in (programs, rest):  # first who asks, then who answers
            for child in group:
                child.ask_to_stop(for_good=True)
            for child in group:
                child.stop()

    def _lay_out(self) -> None:
        self._register_browsers()
        (self.folder / "directory.json").write_text(dump(self.directory))
        secrets = self.folder / "secrets"
        secrets.mkdir(mode=0o700)
        for app in self.directory.apps:
            if app.secrets:
                (secrets / app.name).write_text(app.secrets[0].value)
                (secrets / app.name).chmod(0o600)
        signing = [pod.service.workload for pod in self.pods.values() if pod.service.signs]
        (secrets / "session-keys").write_text(token_urlsafe(32))
        (secrets / "session-keys").chmod(0o600)
        trust.lay_out(signing, self.folder / "keys", self.folder / "trust.json")
        for pod in self.pods.values():
            self.render(pod)

    def _register_browsers(self) -> None:
        """Where the provider may send people back to, which is known only now."""
        app, pod = self.directory.app(TASK_API), self.pods.get("tasks")
        if app and pod:
            uris = (f"{pod.page}/.attache/callback", f"{pod.page}/")
            self.directory = self.directory.with_app(replace(app, redirect_uris=uris))

    def _wire_to(self, name: str) -> int:
        # a service that this stage leaves out is called as well, and does not answer
        return self.pods[name].at.wire if name in self.pods else self._ports.take()

    def _addresses(self) -> Addresses:
        take = self._ports.take
        return Addresses(take(), take(), take(), take(), take(), take())

    def _identity_provider(self) -> Child:
        return Child(
            "the identity provider",
            [
                *(sys.executable, "-m", "demo.idp"),
                *("--directory", str(self.folder / "directory.json")),
                *("--port", str(self._idp_port), "--state", str(self._state)),
            ],
            self.folder / "idp.log",
        )

    def _announced(self) -> bool:
        return '"baseUrl"' in self.idp_process.tail(1)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Let no signal interrupt the end: whoever is left behind would stay for ever."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    # not SIG_IGN: a child that another thread starts at this moment would inherit that
    before = [signal.signal(number, lambda *_: None) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
