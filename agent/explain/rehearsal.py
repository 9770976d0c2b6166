"""Does a configuration decide as its cases say? `attache test`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as Xml

from rich.console import Console
from rich.text import Text as Line

from agent.config.attache import Attache
from agent.config.finding import ConfigInvalid, Finding, printable
from agent.config.issuers import Introspection, Issuer
from agent.config.loading import load
from agent.explain.cases import Case, Cases, Expected, fit, load_cases
from agent.explain.command import Misused, inbound_request, join, moment, read_jwks, read_token
from agent.explain.inbound import explain_inbound
from agent.explain.printing import lines
from agent.explain.signing import KID, signer_for
from agent.explain.standin import NoKeys
from agent.explain.steps import SIGNATURE, Explanation, Verdict
from agent.explain.tokens import OPAQUE, claims_of, header_of
from agent.explain.trial import Sources, Unanswered, trial
from agent.flow.request import Request


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one case went: what was not as expected, and the decision explained."""

    case: Case
    wrong: tuple[str, ...]
    explanation: Explanation
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether all was as expected."""
        return not self.wrong


def rehearse(path: Path, config_path: Path | None, junit: Path | None) -> int:
    """Run the cases in *path*, print how they went; return 0, or 1 where one failed.

    Raises `ConfigInvalid` and `Misused`.
    """
    cases, document = load_cases(path)
    config_path = config_path or (cases.config and path.parent / cases.config)
    if config_path is None:
        remedy = "write config: attache.yaml, or give --config"
        raise ConfigInvalid([Finding(1, "config", "no configuration is named", remedy, str(path))])
    config = load(config_path)
    fit(cases, document, config, str(path))
    if config.listeners.inbound is None:
        raise Misused(f"{config_path} has no listeners.inbound; there is nothing to decide on")
    outcomes = list(_run(cases, config, path.parent))
    _print(outcomes, Console(), path)
    if junit is not None:
        _write(outcomes, junit, path)
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _run(cases: Cases, config: Attache, folder: Path) -> Iterator[Outcome]:
    given = {name: read_jwks(folder / file) for name, file in cases.jwks.items()}
    started = time.time()
    for case in cases.cases:
        said = case.now or cases.now
        now = moment(said) if said else started
        before = time.monotonic()
        token, sources = _token(case, config, folder, given, now)
        try:
            with trial(config, token, sources, now) as agent:
                explanation = explain_inbound(agent, _request(case, config, token))
        except NoKeys as why:
            raise Misused(f"{why}; give a JWKS document (RFC 7517)") from None
        except Unanswered:
            raise Misused(
                f"case '{case.name}': only its server knows what this token stands for; write what "
                "it would answer as claims"
            ) from None
        wrong = tuple(compare(case.expect, explanation))
        yield Outcome(case, wrong, explanation, time.monotonic() - before)


def _token(
    case: Case, config: Attache, folder: Path, given: dict[str, bytes], now: float
) -> tuple[str, Sources]:
    if case.claims is None:
        token = case.token or (read_token(str(folder / case.token_file)) if case.token_file else "")
        return token, Sources(given, revocations=False)
    issuer = _issuer(case, config)
    if issuer.introspection is not None:
        said = claims_of(issuer, case.claims, now)
        return OPAQUE, Sources(given, revocations=False, answer=said)
    signers = {
        each.name: signer_for(each.rules.algorithms)
        for each in config.issuers
        if not isinstance(each.rules, Introspection)
    }
    signer = signers[issuer.name]
    claims = claims_of(issuer, case.claims, now)
    token = signer.token({**header_of(issuer), **(case.jose or {})}, claims)
    workload = str(claims.get("client_id", "")) if issuer.internal else ""
    # The other issuers have keys of their own, with which this token was not signed.
    documents = {name: other.jwks("another") for name, other in signers.items()}
    whole = documents | {issuer.name: signer.jwks(KID, workload)}
    return token, Sources(whole, revocations=False)


def _issuer(case: Case, config: Attache) -> Issuer:
    return next(each for each in config.issuers if case.issuer is None or each.name == case.issuer)


def _request(case: Case, config: Attache, token: str) -> Request:
    headers: dict[str, str] = {}
    for name, value in case.headers.items():
        join(headers, name, value)
    if token:
        join(headers, "authorization", f"Bearer {token}")
    return inbound_request(config, case.method, case.path, case.host or "", headers)


def compare(expected: Expected, got: Explanation) -> Iterator[str]:
    """What is not as *expected*, a sentence each."""
    decision = "deny" if got.verdict is Verdict.DENIED else "allow"
    if decision != expected.decision:
        why = f" ({got.reason}: {got.detail})" if got.reason else ""
        yield f"expected {expected.decision}, got {decision}{why}"
        return
    if expected.reason is not None and got.reason != expected.reason:
        yield f"expected reason {expected.reason}, got {got.reason} ({got.detail})"
    if expected.status is not None and got.status != expected.status:
        yield f"expected status {expected.status}, got {got.status}"
    for name, value in expected.headers.items():
        seen = got.headers.get(name.lower())
        if seen != value and not (value == "*" and seen is not None):
            yield f"expected header {name}: {_value(value)}, the application sees {_value(seen)}"


def _value(value: str | None) -> str:
    return "none" if value is None else f"'{value}'"


def _print(outcomes: list[Outcome], console: Console, path: Path) -> None:
    for outcome in outcomes:
        sign, style = ("✓", "green") if outcome.passed else ("✗", "bold red")
        line = Line(f"{sign} ", style=style)
        line.append(printable(outcome.case.name))
        if outcome.passed and SIGNATURE in outcome.explanation.conditions:
            line.append("  (the signature was not checked)", style="dim")
        console.print(line, soft_wrap=True, highlight=False)
        if not outcome.passed:
            for sentence in outcome.wrong:
                console.print(
                    Line(f"    {printable(sentence)}", style="red"), soft_wrap=True, highlight=False
                )
            for told in lines(outcome.explanation):
                console.print(Line("      ").append_text(told), soft_wrap=True, highlight=False)
    failed = sum(not outcome.passed for outcome in outcomes)
    summary = f"{path}: {len(outcomes) - failed} passed, {failed} failed"
    console.print(Line(summary, style="bold red" if failed else "bold green"), soft_wrap=True)


def _write(outcomes: list[Outcome], junit: Path, path: Path) -> None:
    """The report that CI systems read (JUnit's XML)."""
    failed = sum(not outcome.passed for outcome in outcomes)
    suite = Xml.Element(
        "testsuite", name=str(path), tests=str(len(outcomes)), failures=str(failed), errors="0"
    )
    for outcome in outcomes:
        case = Xml.SubElement(
            suite,
            "testcase",
            name=printable(outcome.case.name),
            classname=path.stem,
            time=f"{outcome.seconds:.3f}",
        )
        if not outcome.passed:
            failure = Xml.SubElement(case, "failure", message=printable("; ".join(outcome.wrong)))
            failure.text = "\n".join(line.plain for line in lines(outcome.explanation))
    try:
        Xml.ElementTree(suite).write(junit, encoding="utf-8", xml_declaration=True)
    except OSError as why:
        raise Misused(f"{junit} cannot be written: {why.strerror}; choose another file") from None
