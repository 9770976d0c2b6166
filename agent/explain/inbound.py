"""Why is this request let in, or not: each step of the inbound decision in a sentence.

The verdict is the pipeline's own. A step is told from what the pipeline's stages found, or by
asking the same deciding function once more; it decides nothing.
"""

from __future__ import annotations

from agent.errors import Denial
from agent.explain.steps import Explanation, Mark, Step, Verdict, shown
from agent.explain.token_steps import TokenTelling
from agent.explain.trial import NotAsked, Trial
from agent.explain.words import pattern, signin, told
from agent.flow.decision import Allow, Redirect
from agent.flow.headers import CORRELATION
from agent.flow.request import Request
from agent.identity.principal import Verified
from agent.policy.path import canonical
from agent.policy.requirement import CHECKS
from agent.policy.routes import Routes, Rule, host_name, why_not
from agent.policy.signin import signed_in

_FRESH = {"x-request-id", "traceparent", "x-attache-context", "baggage", "tracestate"}
_NEW = "(new for each request)"


def explain_inbound(trial: Trial, request: Request) -> Explanation:
    """Explain the decision on *request*."""
    decision = trial.inbound(request)
    steps = _Teller(trial, request, decision).tell()
    outcome = decision.outcome
    if isinstance(outcome, Denial):
        return Explanation(
            Verdict.DENIED, steps, outcome.reason, outcome.status, shown(outcome.detail)
        )
    if isinstance(outcome, Redirect):
        raise ValueError("nobody signs in offline: there is no door here")  # noqa: TRY004
    unchecked = any(step.mark is Mark.UNCHECKED for step in steps)
    return Explanation(
        Verdict.CONDITIONAL if unchecked else Verdict.ALLOWED,
        steps,
        headers=_seen(outcome, request, decision.facts.verified),
        removed=tuple(name for name in outcome.remove if "_" not in name),
    )


class _Teller(TokenTelling):
    """Tells the steps in order; after the one that failed, the others are only named."""

    def tell(self) -> tuple[Step, ...]:
        """Return every step."""
        self._path()
        if self.request.preflight and isinstance(self.decision.outcome, Allow):
            self._preflight()
            return tuple(self.steps)
        rule = self._route()
        if rule is not None and rule.anonymous:
            self.add("token", Mark.PASSED, "The route is anonymous: no token is asked for.")
        else:
            self.tell_token()
            self._revocation()
            self._chain()
            self._requirement(rule)
            self._transaction()
        self._rest()
        self._application()
        return tuple(self.steps)

    def _path(self) -> None:
        path = canonical(self.request.target)
        if isinstance(path, Denial):
            self.denied("path", path)
            return
        self.add("path", Mark.PASSED, f"The rules see {shown(path.text)}.")

    def _route(self) -> Rule | None:
        routes = self._routes()
        path = canonical(self.request.target)
        if isinstance(path, Denial):
            self.add("route", Mark.NOT_REACHED, "")
            return None
        request = self.request
        found = routes.match(request.method, request.host, path)
        name = host_name(request.host)
        more = []
        for number, rule in enumerate(routes.rules, 1):
            why = why_not(rule, request.method, str(name), path)
            if not why or rule is found:
                break
            more.append(f"{number}. {pattern(rule)}: {why}")
        if isinstance(found, Denial):
            self.denied("route", found, tuple(more))
            return None
        number = routes.rules.index(found) + 1
        self.add("route", Mark.PASSED, f"Rule {number}, {pattern(found)}, decides.", tuple(more))
        return found

    def _preflight(self) -> None:
        wanted = shown(self.request.header("access-control-request-method"))
        origin = shown(self.request.header("origin"))
        says = f"Scripts of {origin} may send {wanted} to {shown(self.decision.facts.rule)}."
        self.add("preflight", Mark.PASSED, says)
        self.add("application", Mark.PASSED, "Envoy answers; the application sees nothing.")

    def _routes(self) -> Routes:
        inbound = self.trial.pipelines.inbound
        assert inbound is not None
        return inbound.routes

    def _revocation(self) -> None:
        rules = self.trial.config.revocation
        if rules is None or self.over:
            if rules is not None:
                self.add("revocation", Mark.NOT_REACHED, "")
            return
        where = rules.file or (rules.redis and rules.redis.url)
        if isinstance(self.found.found.get("revocation"), NotAsked):
            self.add("revocation", Mark.UNCHECKED, f"The list in {where} was not asked (offline).")
            return
        self.stage("revocation", ("revocation",), lambda: (f"Not revoked by {where}.", ()))

    def _chain(self) -> None:
        def passed() -> tuple[str, tuple[str, ...]]:
            verified = self.decision.facts.verified
            actors = verified.principal.actors if verified else ()
            if not actors:
                return "The token comes from outside: there is no chain of workloads.", ()
            return f"The chain of workloads has no loop: {shown(actors)}.", ()

        self.stage("chain", ("chain",), passed)

    def _requirement(self, rule: Rule | None) -> None:
        verified = self.decision.facts.verified
        if self.over or rule is None or verified is None:
            self.add("requirement", Mark.NOT_REACHED, "")
            return
        principal, asked = verified.principal, rule.requirement
        more, first = [], None
        for check in CHECKS:
            denial = check(principal, asked)
            first = first or denial
            if said := told(check, asked, principal):
                more.append(f"{'✗' if denial else '✓'} {said}")
        more.extend(signin(asked, principal, self.trial.now))
        first = first or signed_in(principal, asked, self.trial.now)
        denial = first or (None if self.found.denied("transaction") else self.denial())
        if denial is not None:
            self.denied("requirement", denial, tuple(more))
        else:
            says = "The caller meets it." if more else "The route asks for a valid token, no more."
            self.add("requirement", Mark.PASSED, says, tuple(more))

    def _transaction(self) -> None:
        inbound = self.trial.pipelines.inbound
        if inbound is None or inbound.transactions is None:
            return

        def passed() -> tuple[str, tuple[str, ...]]:
            found = self.found.found.get("transaction")
            if not isinstance(found, Verified):
                return "No Txn-Token is looked at.", ()
            return f"The Txn-Token of {shown(found.principal.client)} agrees with the token.", ()

        self.stage("transaction", ("transaction",), passed)

    # the answer

    def _rest(self) -> None:
        """A denial that no step above accounts for is told as it is."""
        denial = self.denial()
        if denial is not None and not self.over:
            self.denied("decision", denial)

    def _application(self) -> None:
        if self.over:
            self.add("application", Mark.NOT_REACHED, "")
            return
        forward = self.trial.config.inbound.forward
        says = {
            "original": "The application sees the caller's own token and these headers.",
            "internal": "The application sees a token of ours and these headers.",
            "none": "The application sees no token, and these headers.",
        }[forward]
        if self.decision.facts.verified is None:
            says = "The application sees no token, and these headers."
        dropped = self.decision.facts.dropped_headers
        more = (
            (f"{dropped} values must not travel in a header and are left out",) if dropped else ()
        )
        self.add("application", Mark.PASSED, says, more)


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
