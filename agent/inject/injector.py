"""Who answers the API server? The composition of the webhook: threads, clocks and sockets."""

from __future__ import annotations

import json
import logging
import signal
import threading
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import FrameType

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from agent import __version__
from agent.config.fields import Address
from agent.inject.cluster import ApiServer, Levels
from agent.inject.keeper import ClusterKeeper, FileKeeper, Place, Serving, Watch
from agent.inject.review import RESULTS, Reviewed, reviewed
from agent.inject.settings import Settings
from agent.inject.webhook import Answer, Listener, plain
from agent.telemetry.metrics import CONTENT_TYPE

log = logging.getLogger(__name__)

PATHS = {"/inject": False, "/inject/all": True}
"""Where reviews arrive, and whether pods get an agent there that say nothing."""
GRACE = 5.0  # seconds in which reviews in flight may finish
AT_ONCE = 2  # reviews that are read at a time: 4 MiB of JSON may be 100 MiB in memory


@dataclass(frozen=True, slots=True)
class Options:
    """What an injector is started with. `life` and `interval` are in seconds."""

    listen: Address
    health: Address
    settings: Settings
    api: str
    account: Path
    place: Place
    folder: Path | None
    life: float = 90 * 86400.0
    interval: float = 10.0


class _Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reviews = Counter(
            "attache_injector_reviews_total", "Reviews by what became of them.", ["result"],
            registry=self.registry,
        )  # fmt: skip
        for result in RESULTS:
            self.reviews.labels(result)
        self.seconds = Histogram(
            "attache_injector_review_seconds", "How long a review took.", registry=self.registry
        )
        self.failures = Counter(
            "attache_injector_certificate_failures_total",
            "Looks at the certificate that went wrong.", registry=self.registry,
        )  # fmt: skip
        self.ends = Gauge(
            "attache_injector_certificate_end_seconds",
            "When the certificate that is served ends, in UTC seconds; 0 without one.",
            registry=self.registry,
        )


@dataclass
class Injector:
    """One running webhook."""

    options: Options
    _serving: Serving = field(default_factory=Serving)
    _metrics: _Metrics = field(default_factory=_Metrics)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        options = self.options
        api = ApiServer(options.api, options.account)
        self._levels = Levels(ApiServer(options.api, options.account))
        self._reading = threading.BoundedSemaphore(AT_ONCE)
        keeper = (
            FileKeeper(options.folder, self._serving)
            if options.folder
            else ClusterKeeper(api, options.place, self._serving, options.life)
        )
        self._watch = Watch(keeper, time.time, self._metrics.failures.inc, options.interval)
        self._metrics.ends.set_function(self._ends)
        self._webhook = Listener(options.listen, self.review, self._serving.context)
        self._health = Listener(options.health, self.health)

    def start(self) -> None:
        """Answer from now on."""
        self._health.start()
        self._watch.start()
        self._webhook.start()
        log.info("attache injector %s answers on %s", __version__, self.options.listen)

    def stop(self) -> None:
        """Let reviews in flight finish."""
        self._stopping.set()
        self._watch.stop()
        self._webhook.stop(GRACE)
        self._health.stop()
        log.info("stopped")

    def review(self, method: str, path: str, body: bytes) -> Answer:
        """Answer one review."""
        if path not in PATHS:
            return plain(HTTPStatus.NOT_FOUND, f"there are {', '.join(PATHS)}")
        if method != "POST":
            return plain(HTTPStatus.METHOD_NOT_ALLOWED, "only POST is answered")
        begin = time.perf_counter()
        try:
            with self._reading:
                said = reviewed(body, PATHS[path], self.options.settings, self._levels)
        except Exception:
            self._metrics.reviews.labels("failed").inc()
            raise
        finally:
            self._metrics.seconds.observe(time.perf_counter() - begin)
        self._metrics.reviews.labels(said.result).inc()
        _tell(said)
        if said.response is None:
            return plain(HTTPStatus.BAD_REQUEST, said.sentence)
        return HTTPStatus.OK, "application/json", json.dumps(said.response).encode()

    def health(self, method: str, path: str, _body: bytes) -> Answer:
        """`/livez`, `/readyz`, `/metrics`."""
        if method not in ("GET", "HEAD"):
            return plain(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered")
        if path == "/livez":  # SECURITY.md 44: asks nobody
            return plain(HTTPStatus.OK, "alive")
        if path == "/readyz":
            missing = self.missing()
            return plain(HTTPStatus.SERVICE_UNAVAILABLE if missing else HTTPStatus.OK,
                         missing or "ready")  # fmt: skip
        if path == "/metrics":
            return HTTPStatus.OK, CONTENT_TYPE, generate_latest(self._metrics.registry)
        return plain(HTTPStatus.NOT_FOUND, "there are /livez, /readyz and /metrics")

    def missing(self) -> str:
        """What keeps this injector from being ready; empty when it is."""
        if self._stopping.is_set():
            return "the injector is stopping"
        certificate = self._serving.certificate
        if certificate is None or not self._watch.kept:
            return self._watch.trouble or "the certificate is on its way"
        if certificate.ends <= time.time():
            return f"the certificate has ended: {self._watch.trouble or 'a new one is on its way'}"
        return ""

    def _ends(self) -> float:
        certificate = self._serving.certificate
        return certificate.ends if certificate else 0.0


def _tell(said: Reviewed) -> None:
    level = logging.WARNING if said.result in ("refused", "malformed") else logging.INFO
    log.log(level, "%s: %s", said.result, said.sentence)


def run_until_stopped(options: Options) -> None:
    """Run an injector until SIGTERM or SIGINT; `OSError` where an address is not to be had."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    injector = Injector(options)
    injector.start()
    stop.wait()
    injector.stop()
