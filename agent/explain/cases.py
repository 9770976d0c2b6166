"""What does a person want decided, and how? The cases of `attache test`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from agent.config.attache import Attache
from agent.config.document import Document, Unreadable, read
from agent.config.explanation import explain
from agent.config.fields import File, Strict, Text
from agent.config.finding import ConfigInvalid, Finding, Location, dotted
from agent.config.loading import content_of
from agent.errors import Reason
from agent.explain.command import moment

_REASONS = tuple(reason.value for reason in Reason)


def _expected(value: object) -> object:
    """Let `allow`, `deny` or a reason stand for the whole expectation."""
    if value in ("allow", "deny"):
        return {"decision": value}
    if isinstance(value, str):
        return {"decision": "deny", "reason": value}
    return value


def _moment(value: object) -> object:
    """A time is text; a number of seconds may stand without quotes."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str):
        moment(value)
    return value


class Expected(Strict):
    """How a case must be decided; what is not written is not compared."""

    decision: Literal["allow", "deny"] = Field(description="How it ends.")
    reason: Text | None = Field(default=None, description="Why it is denied, one of the reasons.")
    status: Annotated[int, Field(ge=400, le=599)] | None = Field(
        default=None, description="The HTTP status of a denial."
    )
    headers: dict[str, str | None] = Field(
        default_factory=dict,
        description='What the application sees: a value, "*" for any, null for none.',
    )

    @model_validator(mode="after")
    def _fits(self) -> Expected:
        if self.reason is not None and self.reason not in _REASONS:
            raise ValueError(f"'{self.reason}' is no reason; write one of {', '.join(_REASONS)}")
        if self.decision == "allow" and (self.reason or self.status):
            raise ValueError("an allowed request has no reason and no status; remove them")
        if self.decision == "deny" and self.headers:
            raise ValueError("the application sees nothing of a denied request; remove headers")
        return self


Expectation = Annotated[Expected, BeforeValidator(_expected)]


class Case(Strict):
    """One request, and how it must be decided.

    `claims` asks for a token with these claims, properly signed by a key that stands in for the
    issuer's. A `token` of your own is decided on as if its signature were good, unless `jwks` of
    the file names its issuer's keys. With neither, the request carries no token.
    """

    name: Text = Field(description="A sentence that says what must hold.")
    issuer: Text | None = Field(
        default=None, description="Whose token claims describes; the first issuer if not said."
    )
    claims: dict[str, Any] | None = Field(
        default=None, description="Claims that matter; usual ones come by themselves, null: none."
    )
    jose: dict[str, Any] | None = Field(
        default=None, description="Members of the token's header that matter: typ, alg, kid."
    )
    token: Text | None = Field(default=None, description="A token, whole.")
    token_file: File | None = Field(default=None, description="A file that holds a token.")
    method: Text = Field(default="GET", description="The request's method.")
    path: Text = Field(description="The request's path, with its query.")
    host: Text | None = Field(default=None, description="The Host that the caller used.")
    headers: dict[str, str] = Field(default_factory=dict, description="The request's headers.")
    now: Annotated[Text | None, BeforeValidator(_moment)] = Field(
        default=None, description="The time of this case, where it is not the file's."
    )
    expect: Expectation = Field(
        description="allow, deny, a reason; or decision, reason, status and headers."
    )

    @model_validator(mode="after")
    def _one_token(self) -> Case:
        ways = [self.claims is not None, self.token is not None, self.token_file is not None]
        if sum(ways) > 1:
            raise ValueError("claims, token and tokenFile exclude each other; write one of them")
        if self.claims is None and (self.issuer or self.jose):
            raise ValueError("issuer and jose describe claims; write claims: {} for a usual token")
        return self


class Cases(Strict):
    """cases.yaml."""

    config: File | None = Field(
        default=None, description="attache.yaml, as seen from this file; --config is stronger."
    )
    now: Annotated[Text | None, BeforeValidator(_moment)] = Field(
        default=None, description="The time at which all is decided; if not said, the present."
    )
    jwks: dict[str, File] = Field(
        default_factory=dict, description="Keys for tokens of your own: issuer name → JWKS file."
    )
    cases: Annotated[tuple[Case, ...], Field(min_length=1, strict=False)]


def load_cases(path: Path) -> tuple[Cases, Document]:
    """Return the cases in *path* and where they stand; raise `ConfigInvalid`."""
    file = str(path)
    try:
        document = read(content_of(path), file)
    except Unreadable as unreadable:
        raise ConfigInvalid([unreadable.finding]) from None
    if not isinstance(document.content, dict):
        raise ConfigInvalid(
            [Finding(1, "", "the file is no mapping", "begin it with 'config:' and 'cases:'", file)]
        )
    try:
        cases = Cases.model_validate(document.content)
    except ValidationError as error:
        findings = explain(error, document, file, Cases)
        raise ConfigInvalid([*document.duplicates, *findings]) from None
    if document.duplicates:
        raise ConfigInvalid(document.duplicates)
    return cases, document


def fit(cases: Cases, document: Document, config: Attache, file: str) -> None:
    """Raise `ConfigInvalid` where a case speaks of what *config* does not have."""
    findings = [
        Finding(document.line(at), dotted(at), reason, remedy, file)
        for at, reason, remedy in _misfits(cases, config)
    ]
    if findings:
        raise ConfigInvalid(findings)


def _misfits(cases: Cases, config: Attache) -> Iterator[tuple[Location, str, str]]:
    known = [issuer.name for issuer in config.issuers]
    remedy = f"write one of {', '.join(known)}" if known else "the configuration has no issuer"
    for name in cases.jwks:
        if name not in known:
            yield ("jwks", name), f"issuer '{name}' does not exist", remedy
    seen: set[str] = set()
    for index, case in enumerate(cases.cases):
        if case.name in seen:
            yield ("cases", index, "name"), "two cases have this name", "rename one"
        seen.add(case.name)
        if case.issuer is not None and case.issuer not in known:
            yield ("cases", index, "issuer"), f"issuer '{case.issuer}' does not exist", remedy
        elif case.claims is not None and not known:
            yield ("cases", index, "claims"), "the configuration has no issuer", "configure one"
