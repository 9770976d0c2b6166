"""Why is this request let in, or not: each step of the inbound decision in a sentence.

The verdict is the pipeline's own. A step is told from what the pipeline's stages found, or by
asking the same deciding function once more; it decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from agent.errors import Denial
from agent.explain.standin import AssumedKey
from agent.explain.steps import Explanation, Mark, Step, Verdict, shown
from agent.explain.trial import Findings, NotAsked, Trial
from agent.explain.words import about, moment, named, pattern, said, signin, told, written
from agent.flow.decision import Allow, Decision
from agent.flow.headers import CORRELATION
from agent.flow.request import Request
from agent.identity.bearer import one_bearer
from agent.identity.issuers.entry import Entry
from agent.identity.jose import Parsed
from agent.identity.principal import Principal, Verified
from agent.identity.refresh import Source
from agent.policy.path import canonical
from agent.policy.requirement import CHECKS
from agent.policy.routes import Routes, Rule, host_name, why_not
from agent.policy.signin import signed_in

_FRESH = {"x-request-id", "traceparent", "x-attache-context", "baggage", "tracestate"}
_NEW = "(new for each request)"
_Claims = Mapping[str, Any]


def explain_inbound(trial: Trial, request: Request) -> Explanation:
    """Explain the decision on *request*."""
    decision = trial.inbound(request)
    steps = _Teller(trial, request, decision).tell()
    outcome = decision.outcome
    if isinstance(outcome, Denial):
        return Explanation(
            Verdict.DENIED, steps, outcome.reason, outcome.status, shown(outcome.detail)
        )
    unchecked = any(step.mark is Mark.UNCHECKED for step in steps)
    return Explanation(
        Verdict.CONDITIONAL if unchecked else Verdict.ALLOWED,
        steps,
        headers=_seen(outcome, request, decision.facts.verified),
        removed=tuple(name for name in outcome.remove if "_" not in name),
    )


class _Teller:
    """Tells the steps in order; after the one that failed, the others are only named."""

    def __init__(self, trial: Trial, request: Request, decision: Decision) -> None:
        self._trial = trial
        self._request = request
        self._decision = decision
        self._found: Findings = trial.findings
        self._steps: list[Step] = []
        self._over = False

    def tell(self) -> tuple[Step, ...]:
        """Return every step."""
        self._path()
        if self._request.preflight and isinstance(self._decision.outcome, Allow):
            self._preflight()
            return tuple(self._steps)
        rule = self._route()
        if rule is not None and rule.anonymous:
            self._add("token", Mark.PASSED, "The route is anonymous: no token is asked for.")
        else:
            self._token()
            self._issuer()
            self._signature()
            self._times()
            self._audience()
            self._caller()
            self._revocation()
            self._chain()
            self._requirement(rule)
        self._rest()
        self._application()
        return tuple(self._steps)

    def _add(self, name: str, mark: Mark, sentence: str, more: tuple[str, ...] = ()) -> None:
        if self._over:
            mark, sentence, more = Mark.NOT_REACHED, "Not reached.", ()
        self._steps.append(Step(name, mark, sentence, more))
        self._over = self._over or mark is Mark.FAILED

    def _denied(self, name: str, denial: Denial, more: tuple[str, ...] = ()) -> None:
        self._add(name, Mark.FAILED, f"{shown(denial.detail).rstrip('.')} ({denial.reason}).", more)

    def _stage(
        self,
        name: str,
        stages: tuple[str, ...],
        passed: Callable[[], tuple[str, tuple[str, ...]]],
        more: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        """Add a step of the verification by what its stages found."""
        if self._over:
            self._add(name, Mark.NOT_REACHED, "")
            return
        denial = next((each for stage in stages if (each := self._found.denied(stage))), None)
        if denial is None and not any(stage in self._found.found for stage in stages):
            denial = self._denial()  # the pipeline stopped before this stage said a word
        if denial is not None:
            self._denied(name, denial, more())
        else:
            self._add(name, Mark.PASSED, *passed())

    def _denial(self) -> Denial | None:
        outcome = self._decision.outcome
        return outcome if isinstance(outcome, Denial) else None

    # the request

    def _path(self) -> None:
        path = canonical(self._request.target)
        if isinstance(path, Denial):
            self._denied("path", path)
            return
        self._add("path", Mark.PASSED, f"The rules see {shown(path.text)}.")

    def _route(self) -> Rule | None:
        routes = self._routes()
        path = canonical(self._request.target)
        if isinstance(path, Denial):
            self._add("route", Mark.NOT_REACHED, "")
            return None
        request = self._request
        found = routes.match(request.method, request.host, path)
        name = host_name(request.host)
        more = []
        for number, rule in enumerate(routes.rules, 1):
            why = why_not(rule, request.method, str(name), path)
            if not why or rule is found:
                break
            more.append(f"{number}. {pattern(rule)}: {why}")
        if isinstance(found, Denial):
            self._denied("route", found, tuple(more))
            return None
        number = routes.rules.index(found) + 1
        self._add("route", Mark.PASSED, f"Rule {number}, {pattern(found)}, decides.", tuple(more))
        return found

    def _preflight(self) -> None:
        wanted = shown(self._request.header("access-control-request-method"))
        origin = shown(self._request.header("origin"))
        says = f"Scripts of {origin} may send {wanted} to {shown(self._decision.facts.rule)}."
        self._add("preflight", Mark.PASSED, says)
        self._add("application", Mark.PASSED, "Envoy answers; the application sees nothing.")

    def _routes(self) -> Routes:
        inbound = self._trial.pipelines.inbound
        assert inbound is not None
        return inbound.routes

    # the token

    def _token(self) -> None:
        token = one_bearer(self._request.headers.get("authorization"))
        if isinstance(token, Denial):
            self._denied("token", token)
            return

        def passed() -> tuple[str, tuple[str, ...]]:
            parsed = self._parsed()
            if parsed is None:
                return "There is exactly one bearer token.", ()
            header = parsed.header
            kid = f", key id {shown(header.kid)}" if header.kid is not None else ", no key id"
            typ = f", type {shown(header.typ)}" if header.typ is not None else ""
            return f"One well-formed JWT: algorithm {shown(header.alg)}{kid}{typ}.", ()

        self._stage("token", ("token",), passed)

    def _parsed(self) -> Parsed | None:
        found = self._found.found.get("token")
        return found if isinstance(found, Parsed) else None

    def _claims(self) -> _Claims:
        parsed = self._parsed()
        return parsed.claims if parsed else {}

    def _entry(self) -> Entry | None:
        found = self._found.found.get("issuer")
        return found[0] if isinstance(found, tuple) else None

    def _issuer(self) -> None:
        claims = self._claims()
        claimed = said(claims, "iss", "tid", "ver", "tfp")

        def passed() -> tuple[str, tuple[str, ...]]:
            entry = self._entry()
            assert entry is not None
            return f"Issuer '{entry.name}' ({entry.kind}) takes it.", claimed

        def more() -> tuple[str, ...]:
            names = ", ".join(f"'{issuer.name}'" for issuer in self._trial.config.issuers)
            hint: tuple[str, ...] = ()
            if any(issuer.entra or issuer.b2c for issuer in self._trial.config.issuers):
                hint = ("offline, issuers' names are those that are usual; --online asks",)
            return (*claimed, f"configured are {names or 'none'}", *hint)

        self._stage("issuer", ("issuer",), passed, more)

    def _signature(self) -> None:
        found = self._found.found.get("key")
        key = found[1] if isinstance(found, tuple) else None
        if isinstance(key, AssumedKey) and not self._found.denied("signature") and not self._over:
            where = self._keys_of()
            self._add(
                "signature",
                Mark.UNCHECKED,
                f"Not checked (offline): the keys are at {where}.",
                ("give them with --jwks FILE, or fetch them with --online",),
            )
            return
        self._stage(
            "signature",
            ("key", "signature"),
            lambda: (f"Signed by key {shown(key.kid) if key else '?'} of this issuer.", ()),
            lambda: tuple(shown(sentence) for sentence in self._trial.missing),
        )

    def _keys_of(self) -> str:
        found = self._found.found.get("issuer")
        source = found[1] if isinstance(found, tuple) else None
        return source.document.source if isinstance(source, Source) else "the issuer's"

    def _times(self) -> None:
        claims, now = self._claims(), self._trial.now
        said = tuple(
            f"{name}: {moment(claims[name], now)}"
            for name in ("nbf", "iat", "exp")
            if name in claims
        )
        at = f"The token is in time at {written(now)}"
        skew = f"{self._trial.config.agent.clock_skew:g} s of tolerance"
        self._stage("time", ("window", "time"), lambda: (f"{at} ({skew}).", said), lambda: said)

    def _audience(self) -> None:
        def passed() -> tuple[str, tuple[str, ...]]:
            return "The token is meant for us.", said(self._claims(), "aud")

        def more() -> tuple[str, ...]:
            entry = self._entry()
            ours = shown(sorted(entry.audiences)) if entry else ""
            return (*said(self._claims(), "aud"), f"accepted: {ours}")

        self._stage("audience", ("audience",), passed, more)

    def _caller(self) -> None:
        def passed() -> tuple[str, tuple[str, ...]]:
            found = self._found.found["principal"]
            assert isinstance(found, Principal)
            return f"The caller is {named(found)}.", about(found)

        claimed = said(self._claims(), "oid", "sub", "idtyp", "scp", "azp", "appid", "client_id")
        self._stage("caller", ("principal",), passed, lambda: claimed)

    # what is asked of the caller

    def _revocation(self) -> None:
        rules = self._trial.config.revocation
        if rules is None or self._over:
            if rules is not None:
                self._add("revocation", Mark.NOT_REACHED, "")
            return
        where = rules.file or (rules.redis and rules.redis.url)
        if isinstance(self._found.found.get("revocation"), NotAsked):
            self._add("revocation", Mark.UNCHECKED, f"The list in {where} was not asked (offline).")
            return
        self._stage("revocation", ("revocation",), lambda: (f"Not revoked by {where}.", ()))

    def _chain(self) -> None:
        def passed() -> tuple[str, tuple[str, ...]]:
            verified = self._decision.facts.verified
            actors = verified.principal.actors if verified else ()
            if not actors:
                return "The token comes from outside: there is no chain of workloads.", ()
            return f"The chain of workloads has no loop: {shown(actors)}.", ()

        self._stage("chain", ("chain",), passed)

    def _requirement(self, rule: Rule | None) -> None:
        verified = self._decision.facts.verified
        if self._over or rule is None or verified is None:
            self._add("requirement", Mark.NOT_REACHED, "")
            return
        principal, asked = verified.principal, rule.requirement
        more, first = [], None
        for check in CHECKS:
            denial = check(principal, asked)
            first = first or denial
            if said := told(check, asked, principal):
                more.append(f"{'✗' if denial else '✓'} {said}")
        more.extend(signin(asked, principal, self._trial.now))
        first = first or signed_in(principal, asked, self._trial.now)
        denial = first or self._denial()
        if denial is not None:
            self._denied("requirement", denial, tuple(more))
        else:
            says = "The caller meets it." if more else "The route asks for a valid token, no more."
            self._add("requirement", Mark.PASSED, says, tuple(more))

    # the answer

    def _rest(self) -> None:
        """A denial that no step above accounts for is told as it is."""
        denial = self._denial()
        if denial is not None and not self._over:
            self._denied("decision", denial)

    def _application(self) -> None:
        if self._over:
            self._add("application", Mark.NOT_REACHED, "")
            return
        forward = self._trial.config.inbound.forward
        says = {
            "original": "The application sees the caller's own token and these headers.",
            "internal": "The application sees a token of ours and these headers.",
            "none": "The application sees no token, and these headers.",
        }[forward]
        if self._decision.facts.verified is None:
            says = "The application sees no token, and these headers."
        dropped = self._decision.facts.dropped_headers
        more = (
            (f"{dropped} values must not travel in a header and are left out",) if dropped else ()
        )
        self._add("application", Mark.PASSED, says, more)


def _seen(allow: Allow, request: Request, verified: Verified | None) -> dict[str, str]:
    """The headers that the application sees of us; tokens and fresh ids are described."""
    seen = {
        name: value if name not in _FRESH and value else _NEW
        for name, value in allow.set
        if name != "authorization"
    }
    continued = verified.principal.txn if verified else ""
    if seen.get(CORRELATION) not in (request.header(CORRELATION), continued):
        seen[CORRELATION] = _NEW
    if any(name == "authorization" for name, _ in allow.set):
        seen["authorization"] = "Bearer (a token of ours)"
    elif verified and "authorization" not in allow.remove:
        seen["authorization"] = "Bearer (the caller's token)"
    return seen
