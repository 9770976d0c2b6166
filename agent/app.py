"""The composition root: the one place that constructs things, starts threads and reads clocks."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from agent import __version__
from agent.admin.server import AdminServer, AdminUnavailable
from agent.config.attache import Attache
from agent.config.fields import Address
from agent.config.loading import ConfigInvalid
from agent.config.login_rules import written
from agent.config.watch import Watcher
from agent.context.store import ContextStore
from agent.credentials.assembly import Credentials
from agent.envoy.ads import Ads
from agent.envoy.delivery import Delivery
from agent.envoy.pod import Pod
from agent.envoy.server import UnknownTransport, serve_ads, serve_checks, transport_of
from agent.envoy.tls import system_bundle
from agent.expiry.live import issuer_keys, oldest, refresh_tokens, signing_keys
from agent.expiry.table import Fact
from agent.expiry.watch import ExpiryWatch
from agent.footprint import settle
from agent.groundwork import Groundwork
from agent.identity.revocation.guard import RevocationGuard
from agent.identity.trust import Trust
from agent.judge import Judge, Pipelines
from agent.pipelines import pipelines
from agent.randomness import BufferedRandomness
from agent.telemetry.audit import AuditLog
from agent.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from agent.login.assembly import Entrance
    from agent.token_service.service import Face

log = logging.getLogger("attache")

FIRST_KEYS = 2.0  # seconds that a start waits for the first try at every issuer's keys
NEW_ISSUERS = 5.0  # seconds that a reload waits for the keys of issuers that are new
GRACE = 5.0  # seconds in which requests in flight may finish after SIGTERM
SWEEP = 30.0  # seconds between two looks for expired contexts
LEAVING = "leaving"  # beside the socket: the file whose appearance says that the pod ends
LOOK = 0.2  # seconds between two looks for that file


class CannotStart(RuntimeError):
    """The agent cannot start; the text says why and what to do."""


class App:
    """One running agent on *ground*; *probes* is where Envoy answers kubelet for it, in a pod."""

    def __init__(self, path: Path, ground: Groundwork, probes: Address | None = None) -> None:
        config = ground.config
        self._path = path
        self._config = config
        self._started = time.time()
        self._stopping = threading.Event()
        self._last_reload_error = ""
        self._metrics = Metrics(__version__)
        self._audit = AuditLog(
            config.audit.file, clock=time.monotonic, on_loss=self._metrics.audit_dropped
        )
        self._contexts = ContextStore(config.agent.max_contexts)
        self._random = BufferedRandomness(os.urandom)
        self._pool, self._fetch, self._trust = ground.pool, ground.fetch, ground.trust
        self._credentials = self._credentials_of(config, None)
        self._metrics.watch_stored_tokens(self._stored_states)
        self._revocation = RevocationGuard(
            config.revocation, time.time, time.monotonic, self._metrics.revoked
        )
        self._metrics.watch_revocations(self._revocation.status)
        self._expiry = ExpiryWatch(self._aging, time.time)
        self._expiry.take(config)
        self._metrics.watch_expiries(self._expiry.seconds)
        self._metrics.watch_key_ages(self._key_ages)
        self._metrics.watch_contexts(self._contexts.status)
        self._entrance = self._entrance_of(config, None)
        self._judge = Judge(
            self._pipelines(config, self._trust, self._credentials, self._entrance),
            self._audit,
            self._metrics,
            time.time,
            time.perf_counter,
        )
        self._ads = Ads(time.time, on_refusal=self._metrics.xds_nack)
        self._delivery = Delivery(self._ads.publish, system_bundle, time.time, Pod(probes))
        self._leaving = config.agent.socket.with_name(LEAVING) if probes else None
        self._admin = AdminServer(
            config.agent.admin,
            ready=self.missing,
            status=self.status,
            jwks=self._published_keys,
            metrics=self._metrics,
            degraded=self.degraded,
        )
        self._handing: Sequence[Face] = ()
        self._watch = Watcher(path, config, self.reload, self._invalid, time.monotonic)

    def start(self) -> None:
        """Start serving; raise `CannotStart` when a port or a socket is not to be had."""
        config = self._config
        self._trust.start()
        self._credentials.start()
        self._delivery.take(config, self._credentials.pushed)
        try:
            self._admin.start()
            # An Envoy that was running before us asks again and again: better it waits a moment
            # for the keys than that its first requests are refused.
            self._trust.wait_tried(FIRST_KEYS)
            self._revocation.start()
            self._delivery.settle(FIRST_KEYS)
            transport = transport_of(config.agent, os.environ)
            self._checks = serve_checks(
                transport, config.agent.socket, self._judge.decide, self._pool
            )
            self._xds = serve_ads(transport, config.agent.xds_socket, self._ads)
            if config.token_service:
                from agent.token_service.service import serve

                self._handing = serve(
                    config.token_service, self._judge, self._pool, lambda: self._config
                )
        except (AdminUnavailable, OSError, UnknownTransport) as reason:
            raise CannotStart(str(reason)) from None
        self._watch.start()
        self._expiry.start()
        threading.Thread(target=self._sweep, name="contexts", daemon=True).start()
        if self._leaving:
            threading.Thread(target=self._await_leave, name="leaving", daemon=True).start()
        log.info(
            "attache %s decides for workload '%s' on %s (%s), admin on http://%s",
            __version__,
            config.workload.id,
            config.agent.socket,
            transport,
            config.agent.admin,
        )

    def decide(self, message: bytes, seconds: float) -> bytes:
        """Answer one CheckRequest as the transport would have it answered (`Judge.decide`)."""
        return self._judge.decide(message, seconds)

    def stop(self) -> None:
        """Let requests in flight finish, then end every thread."""
        self._stopping.set()
        self._watch.stop()
        self._expiry.stop()
        self._delivery.stop()
        self._ads.close()
        self._checks.stop(GRACE)
        self._xds.stop(GRACE)
        for face in self._handing:
            face.stop(GRACE)
        self._pool.shutdown()
        self._admin.stop()
        self._credentials.stop()
        self._trust.stop()
        self._revocation.stop()
        self._audit.close()
        log.info("stopped")

    def reload(self, config: Attache) -> None:
        """Take over a new configuration without dropping a request; what needs a restart is said.

        The agent knows a new destination before Envoy's routes can name it.
        """
        for name in ("agent", "audit", "envoy"):
            if getattr(config, name) != getattr(self._config, name):
                log.warning("the change of '%s' takes effect at the next restart", name)
        if _asked_at(config) != _asked_at(self._config):
            log.warning("the change of tokenService's addresses takes effect at the next restart")
        watch = self._revocation.prepare(config.revocation)
        trust = self._trust_of(config, self._trust)
        trust.start()
        if not trust.wait_ready(NEW_ISSUERS):
            log.warning("not ready after the reload: %s", "; ".join(trust.missing()))
        credentials = self._credentials_of(config, self._credentials)
        credentials.start()
        old_trust, old_credentials = self._trust, self._credentials
        entrance = self._entrance_of(config, self._entrance)
        self._judge.pipelines = self._pipelines(config, trust, credentials, entrance)
        self._entrance = entrance
        self._revocation.adopt(watch)
        self._trust, self._credentials, self._config = trust, credentials, config
        self._delivery.take(config, credentials.pushed)
        self._expiry.take(config)
        old_trust.stop()
        old_credentials.retire(credentials)
        self._last_reload_error = ""
        self._metrics.config_reload("ok")
        log.info("the configuration in %s is in force", self._path)

    def missing(self) -> list[str]:
        """What keeps this agent from being ready, a sentence each; empty when it is."""
        sentences = self._trust.missing() + self._credentials.missing()
        sentences.extend(self._revocation.standing().missing)
        sentences.extend(self._entrance.missing() if self._entrance else [])
        if self._stopping.is_set():
            sentences.append("the agent is stopping")
        return sentences

    def degraded(self) -> list[str]:
        """What an operator has to mend although this agent is ready, a sentence each."""
        return [
            *self._revocation.standing().degraded,
            *(self._entrance.degraded() if self._entrance else []),
            *self._delivery.problems,
            *self._credentials.degraded(),
        ]

    def status(self) -> dict[str, Any]:
        """What the agent knows of itself. No secret is in it."""
        return {
            "version": __version__,
            "workload": self._config.workload.id,
            "uptimeSeconds": round(time.time() - self._started),
            "configuration": {
                "file": str(self._path),
                "error": self._last_reload_error or None,
            },
            "issuers": self._trust.status(),
            "credentials": self._credentials.status(),
            "expiries": self._expiry.documents(),
            "revocation": self._revocation.status(),
            "sessions": self._entrance.status() if self._entrance else None,
            "xds": {**asdict(self._ads.status()), "pushed": self._delivery.pushed},
            "contexts": self._contexts.status(),
        }

    def _pipelines(
        self, config: Attache, trust: Trust, credentials: Credentials, entrance: Entrance | None
    ) -> Pipelines:
        revoked = self._revocation.denial
        return pipelines(
            config, trust, credentials, self._contexts, self._random, revoked, entrance
        )

    def _entrance_of(self, config: Attache, previous: Entrance | None) -> Entrance | None:
        if previous is None and not any(written(config)):
            return None
        # the door, its cookies and its pages, for those who let people sign in
        from agent.login.assembly import Entrance, Surroundings

        refusal, waiting = self._revocation.refusal, self._pool.waiting
        around = Surroundings(refusal, self._random, waiting, self._metrics.session)
        return Entrance(config, around, previous)

    def _trust_of(self, config: Attache, previous: Trust) -> Trust:
        return Trust.build(config, time.time, self._fetch, previous, self._pool.waiting)

    def _credentials_of(self, config: Attache, previous: Credentials | None) -> Credentials:
        return Credentials.build(
            config,
            time.time,
            previous,
            waiting=self._pool.waiting,
            count=self._metrics.token_request,
            refreshed=self._metrics.stored_token_request,
        )

    def _aging(self) -> tuple[Fact, ...]:
        """What expires or ages, and stands in no file that the configuration names."""
        now, tokens = time.time(), self._config.internal_tokens
        keyring = self._credentials.keyring
        return (
            *refresh_tokens(self._credentials.stored(), now),
            *issuer_keys(self._trust.fetched()),
            *(signing_keys(tokens.keys, keyring.status(now), now) if tokens and keyring else ()),
        )

    def _key_ages(self) -> dict[str, float]:
        return oldest(self._trust.fetched(), time.time())

    def _stored_states(self) -> dict[str, str]:
        return {life.name: life.state.value for life in self._credentials.stored()}

    def _published_keys(self) -> dict[str, Any]:
        return self._credentials.jwks()

    def _invalid(self, invalid: ConfigInvalid) -> None:
        self._last_reload_error = "; ".join(str(finding) for finding in invalid.findings)
        self._metrics.config_reload("invalid")
        log.error(
            "the changed configuration is not valid, the one before stays in force: %s",
            self._last_reload_error,
        )

    def _sweep(self) -> None:
        while not self._stopping.wait(SWEEP):
            self._contexts.drop_expired(time.time())

    def _await_leave(self) -> None:
        assert self._leaving is not None
        while not self._leaving.exists():
            if self._stopping.wait(LOOK):
                return
        log.info("this pod is about to end: Envoy closes kept connections with their next answer")
        self._delivery.leave()


def _asked_at(config: Attache) -> object:
    """Where and by whom tokens are asked for; which ones is taken over live."""
    service = config.token_service
    return (service.socket, service.http, service.uids) if service else None


def run_until_stopped(path: Path, ground: Groundwork, probes: Address | None = None) -> None:
    """Run an agent on *ground* until SIGTERM or SIGINT; raise `CannotStart`."""
    # The default of 5 ms lets any busy thread stall the others (PERFORMANCE.md, measured)
    sys.setswitchinterval(0.0005)
    try:
        app = App(path, ground, probes)
    except AdminUnavailable as reason:  # its address is bound where it is made
        raise CannotStart(str(reason)) from None
    stop = threading.Event()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    app.start()
    settle()
    stop.wait()
    app.stop()


def key_listing(config: Attache) -> list[tuple[str, str, str, str]]:
    """Rows of `attache keys list`: key id, file, age, state."""
    from agent.credentials.keyring import listing

    assert config.internal_tokens is not None
    return listing(config.internal_tokens, time.time())
