"""Who keeps the webhook's certificate? A thread, in the cluster's Secret or mounted files."""

from __future__ import annotations

import hashlib
import logging
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from agent.inject.certificate import Certificate, Unusable, context, read
from agent.inject.cluster import Unanswered, trusted, trusting
from agent.inject.rotation import Step, due, restored, stored, taken

log = logging.getLogger(__name__)

CONFLICT = (409, 422)  # another replica was first; a JSON patch whose `test` fails is 422


class Api(Protocol):
    """What is asked of the API server (`cluster.ApiServer`)."""

    def secret(self, namespace: str, name: str) -> dict[str, Any]: ...
    def replace_secret(
        self, namespace: str, name: str, secret: dict[str, Any]
    ) -> dict[str, Any]: ...
    def webhooks(self, name: str) -> dict[str, Any]: ...
    def patch_webhooks(self, name: str, operations: list[dict[str, Any]]) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where the certificate is kept, and whom it is for."""

    namespace: str
    secret: str
    webhooks: str
    names: tuple[str, ...]


class Serving:
    """The certificate in use: read by every connection, replaced by a keeper."""

    def __init__(self) -> None:
        self.certificate: Certificate | None = None
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext | None:
        """What new connections are served with; None until there is a certificate."""
        return self._context

    def adopt(self, certificate: Certificate) -> None:
        """Serve *certificate* from now on; connections that are open keep theirs."""
        if certificate == self.certificate:
            return
        self._context = context(certificate)
        self.certificate = certificate
        log.info("serving a certificate for %s", ", ".join(certificate.names))


class ClusterKeeper:
    """Takes the steps of `rotation`, and lets the API server trust what they lead to."""

    def __init__(self, api: Api, place: Place, serving: Serving, life: float) -> None:
        self._api = api
        self._place = place
        self._serving = serving
        self._life = life

    def tick(self, now: float) -> None:
        """Look, and take at most one step; `Unanswered` where the API server would not."""
        place = self._place
        secret = self._api.secret(place.namespace, place.secret)
        state = restored(secret.get("data") or {})
        if state.serving is not None and state.serving.begins <= now < state.serving.ends:
            self._serving.adopt(state.serving)  # whatever else fails below
        webhooks = self._api.webhooks(place.webhooks)
        bundles = trusted(webhooks)
        common = bundles[0] if len(set(bundles)) == 1 else b""
        step = due(state, common, place.names, now)
        if step is not Step.NOTHING:
            state = taken(state, step, place.names, now, self._life)
            self._api.replace_secret(
                place.namespace, place.secret, {**secret, "data": stored(state)}
            )
            log.info("the certificate's rotation took the step '%s'", step.name.lower())
        if any(bundle != state.bundle for bundle in bundles):
            self._api.patch_webhooks(place.webhooks, trusting(webhooks, state.bundle))
            log.info("the API server was told whom to trust")
        if state.serving is not None:
            self._serving.adopt(state.serving)


class FileKeeper:
    """Serves tls.crt and tls.key of a folder, such as cert-manager's Secret, mounted."""

    def __init__(self, folder: Path, serving: Serving) -> None:
        self._folder = folder
        self._serving = serving
        self._seen = ""

    def tick(self, now: float) -> None:
        """Look whether they have changed; `Unusable` where they cannot be served."""
        del now
        try:
            chain, key = ((self._folder / name).read_bytes() for name in ("tls.crt", "tls.key"))
        except OSError as error:
            raise Unusable(f"{self._folder} cannot be read: {error.strerror}") from None
        seen = hashlib.sha256(chain + b"\0" + key).hexdigest()
        if seen != self._seen:  # half of a new pair is no pair, and the next look meets the rest
            self._serving.adopt(read(b"", chain, key))
            self._seen = seen


class Watch:
    """Ticks every *interval* seconds, and knows what is wrong."""

    def __init__(
        self,
        keeper: ClusterKeeper | FileKeeper,
        clock: Callable[[], float],
        failed: Callable[[], None],
        interval: float,
    ) -> None:
        self._keeper = keeper
        self._clock = clock
        self._failed = failed
        self._interval = interval
        self.trouble = "the certificate was not looked for yet"
        self._kept = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="certificate", daemon=True)

    @property
    def kept(self) -> bool:
        """Whether it went well once: there is a certificate, and the API server trusts it."""
        return self._kept

    def start(self) -> None:
        """Look at once, and then again and again."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()

    def _loop(self) -> None:
        while not self._stop.is_set():
            trouble = self._tick()
            if trouble and trouble != self.trouble:
                log.warning("the certificate cannot be kept: %s", trouble)
            if self.trouble and not trouble:
                log.info("the certificate is in order")
            self.trouble = trouble
            self._stop.wait(self._interval)

    def _tick(self) -> str:
        try:
            self._keeper.tick(self._clock())
        except Unanswered as why:
            if why.status in CONFLICT:
                log.info("another replica took the step first")
                return ""
            self._failed()
            return str(why)
        except Unusable as why:
            self._failed()
            return str(why)
        except Exception:
            self._failed()
            log.exception("this is a fault of the injector: report the trace below")
            return "see the trace above"
        self._kept = True
        return ""


def service_names(service: str, namespace: str) -> tuple[str, ...]:
    """The names by which the API server calls a Service."""
    return tuple(f"{service}.{namespace}{rest}" for rest in (".svc", ".svc.cluster.local", ""))
