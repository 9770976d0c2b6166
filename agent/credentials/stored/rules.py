"""When may a refresh token be sent, by whom, and what stands in its record then? Pure rules."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.credentials.stored.life import State, exercise_at
from agent.credentials.stored.record import SEEDS, Access, Attempt, Record, fingerprint
from agent.credentials.stored.reply import Granted
from agent.credentials.stored.steps import Seen

TRIES = 2  # of one token whose answer was not kept: the first one, and once more
LEFT = 0.2  # the part of an access token's life in which it is renewed


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for one stored token. Times in seconds.

    `grace`: how long the provider takes a used token again. `reusable`: it does so for as long as
    the token lives. `idle`: how long a token may lie unused, as the operator says. `lease`: after
    that a silent writer is taken for dead. `patience`: how long to wait for another writer.
    """

    name: str
    authority: str
    client: str
    grace: float
    reusable: bool = False
    idle: float | None = None
    lease: float = 15.0
    patience: float = 20.0


def standing(record: Record, rules: Rules) -> State | None:
    """Why the token must not be sent at all; None if it may be."""
    if (record.authority, record.client) != (rules.authority, rules.client):
        return State.FOREIGN
    return State(record.ended) if record.ended else None


def fresh(access: Access, now: float) -> bool:
    """Whether an access token is good for a while: nobody renews it yet."""
    return access.expires_at - now > LEFT * (access.expires_at - access.obtained_at)


def due(record: Record, now: float, rules: Rules) -> bool:
    """Whether a token that nobody uses has to be used now."""
    return now >= exercise_at(rules.name, record.used_at, idle_of(record, rules))


def idle_of(record: Record, rules: Rules) -> float | None:
    """How long the token may lie unused, in seconds: as the server said, or else the operator."""
    known = [value for value in (record.idle_lifetime, rules.idle) if value]
    return min(known) if known else None


def busy(record: Record, seen: Seen, rules: Rules, nonce: str) -> bool:
    """Whether somebody else is under way with the token, as far as one can know."""
    if record.attempt is None or record.attempt.nonce == nonce or seen.orphaned:
        return False
    # Not by the other's clock: what counts is for how long we saw it standing still.
    return seen.watched < rules.lease


def over(record: Record, now: float, rules: Rules) -> bool:
    """Whether the token may have been used, and must not be sent again."""
    attempt = record.attempt
    if attempt is None or attempt.token != record.fingerprint:
        return False
    if rules.reusable or not record.rotates:
        return False
    return attempt.tries >= TRIES or now - attempt.at > rules.grace


def adoption(record: Record | None, seed: str, rules: Rules, now: float) -> Record | None:
    """The record that begins with a mounted token; None where it must not be used.

    A mounted token is used up by its first rotation, so none is adopted twice.
    """
    known = record.seeds if record else ()
    print_ = fingerprint(seed)
    if print_ in known or (record is not None and standing(record, rules) is None):
        return None
    return Record(rules.authority, rules.client, seed, now, now, seeds=(*known, print_)[-SEEDS:])


def granted(sent: Record, reply: Granted) -> Record:
    """The record after the server gave tokens for *sent*."""
    return replace(
        sent,
        token=reply.token or sent.token,
        used_at=reply.at,
        generation=sent.generation + 1,
        rotates=reply.token is not None and reply.token != sent.token,
        attempt=None,
        access=reply.access,
        idle_lifetime=reply.idle_lifetime or sent.idle_lifetime,
    )


def before(sent: Record) -> Record:
    """The record as if this attempt had not been, for it used nothing; a former one stays open."""
    attempt = sent.attempt
    if attempt is None or attempt.tries <= 1:
        return replace(sent, attempt=None)
    return replace(sent, attempt=replace(attempt, tries=attempt.tries - 1))


def attempted(record: Record, nonce: str, now: float) -> Record:
    """The record with the attempt that is to be journalled before its token is sent."""
    former = record.attempt
    if former is None or former.token != record.fingerprint:
        return replace(record, attempt=Attempt(record.fingerprint, nonce, now))
    return replace(record, attempt=replace(former, nonce=nonce, tries=former.tries + 1))
