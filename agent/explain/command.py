"""What does `attache explain` do with what a person writes?"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from agent.config.attache import Attache
from agent.config.loading import load
from agent.explain.inbound import explain_inbound
from agent.explain.outbound import NotACall, explain_outbound
from agent.explain.printing import show
from agent.explain.standin import NoKeys
from agent.explain.steps import EXIT, Explanation
from agent.explain.trial import Sources, Unanswered, trial
from agent.flow.request import Direction, Request
from agent.identity.connection import MAX_BODY
from agent.identity.principal import Kind

_MAX_TOKEN = 1024 * 1024  # characters of a token file; longer ones are no token at all


class Misused(ValueError):
    """The command line cannot be acted on; the text reads "reason; remedy"."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One question, as it stands on the command line."""

    config: Path
    method: str
    path: str
    host: str = ""
    headers: tuple[str, ...] = ()
    token_file: str = ""
    jwks: tuple[str, ...] = ()
    online: bool = False
    at: str = ""
    as_json: bool = False
    outbound: bool = False
    speaker: str = "user"


def explain(asked: Asked) -> int:
    """Print the explanation; return the exit code. Raises `Misused` and `ConfigInvalid`."""
    config = load(asked.config)
    if asked.outbound:
        return _outbound(asked, config)
    if config.listeners.inbound is None:
        raise Misused("the configuration has no listeners.inbound; ask about --outbound instead")
    token = read_token(asked.token_file)
    sources = Sources(_given(asked.jwks, config), asked.online)
    now = moment(asked.at) if asked.at else time.time()
    try:
        with trial(config, token, sources, now) as agent:
            explanation = explain_inbound(agent, _request(asked, config, token))
    except NoKeys as why:
        raise Misused(f"{why}; give a JWKS document (RFC 7517)") from None
    except Unanswered:
        raise Misused("only its server knows what this token stands for; use --online") from None
    tell(explanation, asked.as_json)
    return EXIT[explanation.verdict]


def _outbound(asked: Asked, config: Attache) -> int:
    if config.listeners.outbound is None:
        raise Misused("the configuration has no listeners.outbound; there is no outbound call")
    if asked.token_file or asked.headers or asked.online or asked.jwks or asked.host:
        raise Misused("--outbound looks at no token, header, key and host; remove that option")
    now = moment(asked.at) if asked.at else time.time()
    speaker = None if asked.speaker == "nobody" else Kind(asked.speaker)
    try:
        with trial(config, "", Sources(revocations=False), now) as agent:
            explanation = explain_outbound(agent, asked.method, asked.path, speaker)
    except NotACall as why:
        raise Misused(str(why)) from None
    tell(explanation, asked.as_json)
    return EXIT[explanation.verdict]


def tell(explanation: Explanation, as_json: bool) -> None:
    """Print *explanation* for a person or for a machine."""
    if as_json:
        print(json.dumps(explanation.document(), indent=2))  # noqa: T201
    else:
        show(explanation, Console())


def read_token(file: str) -> str:
    """The token in *file* (`-`: standard input), empty for none; a `Bearer` before it goes."""
    if not file:
        return ""
    try:
        if file == "-":
            text = sys.stdin.read(_MAX_TOKEN)
        else:
            with Path(file).open(encoding="utf-8") as opened:
                text = opened.read(_MAX_TOKEN)
    except (OSError, UnicodeDecodeError) as why:
        reason = getattr(why, "strerror", None) or "it is not text"
        raise Misused(f"{file} cannot be read: {reason}; write a token into it") from None
    text = text.strip()
    if text[:7].lower() == "bearer ":
        text = text[7:].strip()
    if not text:
        raise Misused(
            f"{'standard input' if file == '-' else file} is empty; write a token into it"
        )
    return text


def moment(text: str) -> float:
    """A time in UTC seconds, written so or as RFC 3339; raise `Misused`."""
    try:
        return float(text) if text.replace(".", "", 1).isdigit() else _rfc3339(text)
    except ValueError:
        raise Misused(
            f"'{text}' is not a time; write 2026-01-31T12:00:00Z, or seconds since 1970"
        ) from None


def _rfc3339(text: str) -> float:
    when = datetime.fromisoformat(text)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def read_jwks(path: Path) -> bytes:
    """The bytes of a keys document, bounded; raise `Misused`."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BODY + 1)
    except OSError as why:
        raise Misused(
            f"{path} cannot be read: {why.strerror}; give the path of a JWKS file"
        ) from None


def _given(written: tuple[str, ...], config: Attache) -> dict[str, bytes]:
    names = {issuer.name for issuer in config.issuers}
    found = {}
    for each in written:
        name, equals, file = each.partition("=")
        if not equals or name not in names:
            name, file = "", each
        found[name] = read_jwks(Path(file))
    return found


def _request(asked: Asked, config: Attache, token: str) -> Request:
    headers: dict[str, str] = {}
    for each in asked.headers:
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise Misused(f"'{each}' is not a header; write --header NAME=VALUE")
        if name.lower() == "authorization":
            raise Misused("a token does not belong on a command line; use --token-file")
        join(headers, name, value)
    if token:
        headers["authorization"] = f"Bearer {token}"
    return inbound_request(config, asked.method, asked.path, asked.host, headers)


def inbound_request(
    config: Attache, method: str, path: str, host: str, headers: dict[str, str]
) -> Request:
    """A request as our own Envoy shows it to the agent; the workload's name is the usual host."""
    shared = config.inbound.cors or any(route.cors for route in config.routes)
    asks_before = {"origin", "access-control-request-method"} <= headers.keys()
    return Request(
        direction=Direction.INBOUND,
        method=method,
        target=path,
        host=host or config.workload.name,
        headers=headers,
        underscores_refused=True,
        preflight=bool(shared and method == "OPTIONS" and asks_before),
        headers_listed=True,
    )


def join(headers: dict[str, str], name: str, value: str) -> None:
    """Add a header as Envoy shows it: lower case, equal names joined by a comma."""
    name = name.lower()
    headers[name] = f"{headers[name]},{value}" if name in headers else value
