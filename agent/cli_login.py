"""How does a person log an integration in? `attache login NAME`, at a browser or by a code."""

from __future__ import annotations

import secrets
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TypeVar

import typer

from agent.config.loading import load

if TYPE_CHECKING:
    from agent.config.attache import Attache
    from agent.config.identities import Identity
    from agent.config.stored_tokens import StoredToken
    from agent.credentials.answers import Answer
    from agent.credentials.oauth import OAuthClient
    from agent.credentials.stored.login import Mistake, Server

_SECONDS = 30.0  # that one request to the provider may take


@dataclass(frozen=True)
class _Desk:
    """The one login that is going on."""

    token: StoredToken
    identity: Identity
    client: OAuthClient


def login(
    name: Annotated[str, typer.Argument(help="a name of storedTokens, or its destination's")],
    config: Annotated[Path, typer.Option("--config", help="attache.yaml", show_default=False)],
    device: Annotated[
        bool, typer.Option("--device", help="Type a code on another machine instead.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Try a lost token once more instead of a login.")
    ] = False,
    browser: Annotated[bool, typer.Option(help="Open the browser of this machine.")] = True,
    wait: Annotated[float, typer.Option(help="seconds to wait for the sign-in")] = 600.0,
) -> None:
    """Obtain a stored refresh token, or replace it; running agents use it within seconds."""
    from agent.credentials.oauth import OAuthClient
    from agent.credentials.stored.assembly import identity_of

    parsed = load(config)
    token = _named(parsed, name)
    identity = next(found for found in parsed.identities if found.name == token.identity)
    desk = _Desk(token, identity, OAuthClient(identity.name, identity_of(identity)))
    if again:
        _try_again(desk)
        return
    if problem := desk.client.unproven():
        _fail(problem)
    document = desk.client.document(_SECONDS)
    if not isinstance(document, dict):
        from agent.credentials.stored.login import refusal

        _fail(refusal(document, "shows no discovery document"))
    from agent.credentials.stored.login import server_of

    server = _or_fail(server_of(token, document))
    answer = _by_device(desk, server, wait) if device else _by_browser(desk, server, browser, wait)
    _store(desk, answer)


def _named(config: Attache, name: str) -> StoredToken:
    by_name = {token.name: token for token in config.stored_tokens}
    for destination in config.destinations:
        if choice := destination.credential.refresh_token:
            by_name.setdefault(destination.name, by_name[choice.token])
    if name not in by_name:
        known = ", ".join(sorted(token.name for token in config.stored_tokens))
        remedy = f"write one of {known}" if known else "add it to storedTokens"
        _fail(f"there is no stored token '{name}'; {remedy}")
    return by_name[name]


def _by_browser(desk: _Desk, server: Server, browser: bool, wait: float) -> Answer:
    import webbrowser

    from agent.credentials.stored.login import begin, code_form, landed
    from agent.credentials.stored.loopback import Loopback

    login = desk.token.login
    try:
        loopback = Loopback(login.host, login.port or 0, login.path)
    except OSError as error:
        _fail(f"cannot listen on 127.0.0.1 ({error.strerror}); free login.port, or use --device")
    try:
        begun = _or_fail(
            begin(
                desk.token,
                server,
                desk.client.identity.client_id,
                loopback.redirect,
                secrets.token_urlsafe(32),
                secrets.token_urlsafe(48),
            )
        )
        _say(f"Sign in at:\n\n  {begun.url}\n")
        if browser:
            webbrowser.open(begun.url)
        code = _or_fail(loopback.wait(lambda query: landed(query, begun, server), wait))
    finally:
        loopback.close()
    return desk.client.ask_once(code_form(desk.token, begun, code), _SECONDS)


def _by_device(desk: _Desk, server: Server, wait: float) -> Answer:
    from agent.credentials.stored.login import device_form, device_of, poll_form, polled

    if not server.device:
        _fail("the provider offers no device codes; write login.deviceUrl, or leave --device out")
    asked = desk.client.ask_at(server.device, device_form(desk.token), _SECONDS)
    device = _or_fail(device_of(asked))
    _say(f"Open {device.page} and type the code:\n\n  {device.typed}\n")
    if device.whole:
        _say(f"or open {device.whole}\n")
    ends = time.monotonic() + min(wait, device.lasts)
    interval: float | None = device.interval
    while interval is not None:
        if time.monotonic() + interval > ends:
            _fail("nobody typed the code in time; try again")
        time.sleep(interval)
        answer = desk.client.ask_once(poll_form(device), _SECONDS)
        interval = polled(answer, interval)
    return answer


def _store(desk: _Desk, answer: Answer) -> None:
    from agent.credentials.stored.assembly import rules_of, vault_of
    from agent.credentials.stored.login import record_of
    from agent.credentials.stored.steps import Trouble

    record = _or_fail(record_of(answer, rules_of(desk.token, desk.identity), time.time()))
    vault = vault_of(desk.token, time.time, time.monotonic)
    if isinstance(done := vault.replace(record), Trouble):
        _fail(f"the token was obtained but not stored: {done.sentence}")
    _say(f"stored token '{desk.token.name}': kept in {vault.name}; agents use it within seconds")


def _try_again(desk: _Desk) -> None:
    """The operator's own risk: a provider that revokes on reuse has revoked what was lost."""
    from dataclasses import replace

    from agent.credentials.stored.assembly import rotator_of, rules_of, vault_of
    from agent.credentials.stored.life import State
    from agent.credentials.stored.rotator import Surroundings, sentence
    from agent.credentials.stored.rules import standing
    from agent.credentials.stored.steps import Have, Trouble

    vault = vault_of(desk.token, time.time, time.monotonic)
    seen = vault.look("")
    if isinstance(seen, Trouble):
        _fail(seen.sentence)
    rules = rules_of(desk.token, desk.identity)
    if seen.record is None or standing(seen.record, rules) is not State.LOST:
        _fail("this token is not lost; leave --again out to log in")
    vault.swap(seen.version, replace(seen.record, ended="", attempt=None))
    around = Surroundings(
        time.time, time.sleep, secrets.SystemRandom().random, lambda: secrets.token_urlsafe(16)
    )
    outcome = rotator_of(desk.token, desk.identity, desk.client, vault, around).token()
    if not isinstance(outcome, Have):
        _fail(sentence(desk.token.name, outcome) or "the provider gave no token; try again later")
    _say(f"stored token '{desk.token.name}': the provider took it; no login was needed")


T = TypeVar("T")


def _or_fail(found: T | Mistake) -> T:
    from agent.credentials.stored.login import Mistake

    if isinstance(found, Mistake):
        _fail(found.sentence)
    return found


def _say(sentence: str) -> None:
    print(sentence, flush=True)  # noqa: T201


def _fail(sentence: str) -> NoReturn:
    print(f"attache: {sentence}", file=sys.stderr)  # noqa: T201
    raise typer.Exit(1)
