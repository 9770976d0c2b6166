"""Which credential would a call of the application get, and for whom? Nothing is fetched."""

from __future__ import annotations

from urllib.parse import urlsplit

from agent.config.attache import Attache
from agent.config.destinations import Destination
from agent.config.fields import Address
from agent.context.caller import Caller
from agent.credentials.subject import acting_as
from agent.envoy.routes import domains
from agent.errors import Denial
from agent.explain.steps import Explanation, Mark, Step, Verdict, shown
from agent.explain.trial import Trial
from agent.flow.request import Direction, Request
from agent.identity.principal import IssuerKind, Kind, Principal, RawToken, Verified


class NotACall(ValueError):
    """The URL is none that an application calls through Envoy; the text says what to write."""


def explain_outbound(trial: Trial, method: str, url: str, speaker: Kind | None) -> Explanation:
    """Explain a call that is made while a request of *speaker* (None: of nobody) is served."""
    host, path = _called(url)
    destination = _destination(trial.config, host)
    if destination is None:
        return _unmatched(trial, method, host, path)
    steps = [_found(destination, host)]
    choice = destination.credential
    rule = choice.subject
    if rule is None:
        says = (
            "No credential is sent, for nobody." if choice.none else "It speaks for this workload."
        )
        steps.append(Step("subject", Mark.PASSED, says))
    else:
        acting = acting_as(rule, _caller(speaker, trial.now))
        said = f"The rule is subject: {rule}; the request behind the call is {_of(speaker)}."
        if isinstance(acting, Denial):
            refused = f"{said} {shown(acting.detail)} ({acting.reason})."
            steps += [
                Step("subject", Mark.FAILED, refused),
                Step("credential", Mark.NOT_REACHED, "Not reached."),
            ]
            return Explanation(
                Verdict.DENIED, tuple(steps), acting.reason, acting.status, shown(acting.detail)
            )
        steps.append(Step("subject", Mark.PASSED, f"{said} It is made for the {acting}."))
    steps.append(_credential(destination))
    return Explanation(Verdict.ALLOWED, tuple(steps))


def _called(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    if parts.scheme == "https":
        raise NotACall(
            "the application calls Envoy in plain http, and Envoy speaks TLS where the destination "
            f"has tls; write http://{shown(parts.netloc)}…"
        )
    if parts.scheme != "http" or not parts.netloc:
        raise NotACall("this is no URL; write http://host:port/path, as the application calls it")
    query = f"?{parts.query}" if parts.query else ""
    return parts.netloc.lower(), (parts.path or "/") + query


def _destination(config: Attache, host: str) -> Destination | None:
    """As Envoy chooses a virtual host: by the whole Host, its default port written or not."""
    return next((each for each in config.destinations if host in domains(each.hosts)), None)


def _found(destination: Destination, host: str) -> Step:
    upstream: Address = destination.upstream
    how = "over TLS" if destination.tls else "in plain text"
    says = f"{shown(host)} is destination '{destination.name}', at {upstream} {how}."
    return Step("destination", Mark.PASSED, says)


def _unmatched(trial: Trial, method: str, host: str, path: str) -> Explanation:
    outbound = trial.config.listeners.outbound
    passthrough = outbound is not None and outbound.unmatched == "passthrough"
    request = Request(Direction.OUTBOUND, method, path, host, {}, passthrough=passthrough)
    outcome = trial.outbound(request).outcome
    known = [host for each in trial.config.destinations for host in each.hosts]
    more = (f"configured hosts: {shown(known) or 'none'}",)
    if isinstance(outcome, Denial):
        says = f"{shown(host)}: {shown(outcome.detail)} ({outcome.reason})."
        steps = (Step("destination", Mark.FAILED, says, more),)
        return Explanation(
            Verdict.DENIED, steps, outcome.reason, outcome.status, shown(outcome.detail)
        )
    says = f"{shown(host)} is no destination; it passes without a credential of ours (passthrough)."
    return Explanation(Verdict.ALLOWED, (Step("destination", Mark.PASSED, says, more),))


def _credential(destination: Destination) -> Step:
    choice = destination.credential
    kind = getattr(choice, _attribute(choice.kind))
    more = tuple(
        f"{name}: {shown(value)}"
        for name in ("identity", "scopes", "audience", "header")
        if (value := getattr(kind, name, None))
    )
    says = f"The credential is of kind {choice.kind}; it is not fetched here."
    if choice.obo:
        more = (*more, "Entra is asked on behalf of users of an entra issuer only")
    return Step("credential", Mark.PASSED, says, more)


def _attribute(kind: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in kind)


def _of(speaker: Kind | None) -> str:
    return "nobody's" if speaker is None else {"user": "a user's", "app": "an app's"}[speaker]


def _caller(speaker: Kind | None, now: float) -> Caller | None:
    if speaker is None:
        return None
    principal = Principal(
        kind=speaker,
        subject="somebody",
        tenant="",
        issuer="",
        issuer_name="",
        issuer_kind=IssuerKind.ENTRA,
        client="",
        scopes=frozenset(),
        roles=frozenset(),
        expires_at=now + 3600,
        claims={},
    )
    verified = Verified(RawToken(""), b"", principal, "", now)
    return Caller(verified, "", "", "", "", now + 3600)
