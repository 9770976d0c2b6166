"""What is the next step of a rotation? Values in, steps out: no socket, no store, no clock.

A rotation is a generator. It yields what is to be done and is sent what came of it, so that a test
can end it between any two steps and let another one go on (SECURITY.md 31). The order is the
promise:

    Read → Swap (the attempt is journalled) → Send → Swap (the new token is kept) → the outcome

One writer: an attempt is journalled by compare-and-set, and whoever finds another's waits. A writer
that died or was stopped is taken over; should it come back, its own compare-and-set tells it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace

from agent.credentials.stored.life import State
from agent.credentials.stored.record import Record
from agent.credentials.stored.reply import Declined, Granted, Refused, Unanswered, Unsent
from agent.credentials.stored.rules import (
    TRIES,
    Rules,
    adoption,
    attempted,
    before,
    busy,
    due,
    fresh,
    granted,
    over,
    standing,
)
from agent.credentials.stored.steps import (
    Have,
    Heard,
    Held,
    Moved,
    NoStore,
    NotYet,
    Outcome,
    Pause,
    Read,
    Rested,
    Seen,
    Send,
    Step,
    Stopped,
    Swap,
    Swapped,
    Trouble,
    Unsaved,
)

LOOKS = 0.2  # seconds between two looks at an attempt of somebody else
AGAIN = 1.0  # seconds before an unanswered request is sent once more
KEEPING = 5  # tries to store an answer before the run ends with it in hand

Run = Generator[Step, Heard, Outcome]


def rotation(
    rules: Rules,
    nonce: str,
    wanted: bool = True,
    unsaved: Unsaved | None = None,
    seed: str | None = None,
) -> Run:
    """Get an access token, by one writer; not *wanted*: only finish or exercise what is due.

    *nonce* names this run and no other. *unsaved* is what an earlier run could not store. *seed* is
    a token that the operator mounted: it is adopted where there is none, or one that ended.
    """
    if unsaved is not None and (failed := (yield from _keep(unsaved, None))):
        return failed
    waited, sent = 0.0, 0
    while waited < rules.patience:
        seen = yield Read()
        if not isinstance(seen, Seen):
            return NoStore(_trouble(seen))
        if seed and (adopted := adoption(seen.record, seed, rules, seen.now)):
            heard = yield Swap(seen.version, adopted)
            if isinstance(heard, Trouble):
                return NoStore(heard)
            seed = None
            continue
        next_ = _next(seen, rules, nonce, wanted)
        if isinstance(next_, Pause):
            waited += next_.seconds
            yield next_
            continue
        if not isinstance(next_, Record):
            return next_
        if next_.ended:
            return (yield from _give_up(next_, seen.version))
        heard = yield from _journal(next_, seen.version)
        if isinstance(heard, Trouble):
            # Should it turn out to be written after all, it must not look like one that was sent.
            undone = Unsaved(before(next_), next_.fingerprint, exactly=next_)
            return NoStore(heard, undone)
        if isinstance(heard, Swapped):
            sent += 1
            reply = yield Send(next_)
            if done := (yield from _settle(next_, reply, heard.version, sent)):
                return done
        pause = AGAIN if isinstance(heard, Swapped) else LOOKS
        waited += pause
        yield Pause(pause)
    return Held()


def _next(seen: Seen, rules: Rules, nonce: str, wanted: bool) -> Outcome | Pause | Record:
    """What follows from what is stored: an end, a wait, or the record that is to be written."""
    record, now = seen.record, seen.now
    if record is None:
        return Stopped(State.MISSING, None)
    if state := standing(record, rules):
        return Stopped(state, record)
    if record.attempt is None and not due(record, now, rules):
        if record.access is not None and fresh(record.access, now):
            return Have(record.access, record)
        if not wanted:
            return Rested(record)
    if busy(record, seen, rules, nonce):
        return Pause(LOOKS)
    if over(record, now, rules):
        return replace(record, ended=State.LOST)
    return attempted(record, nonce, now)


def _give_up(lost: Record, version: str) -> Run:
    """Write down that the token is lost, for everybody; this run says so in any case."""
    heard = yield Swap(version, lost)
    if isinstance(heard, Moved):
        return Held()  # somebody had an answer after all
    return Stopped(State.LOST, lost)


def _journal(record: Record, version: str) -> Generator[Step, Heard, Heard]:
    """Write the attempt down. Where the store does not say whether it did, look."""
    heard = yield Swap(version, record)
    if not isinstance(heard, Trouble):
        return heard
    seen = yield Read()
    if isinstance(seen, Seen) and seen.record == record:
        return Swapped(seen.version)
    return heard


def _settle(
    sent: Record, reply: Heard, version: str, times: int
) -> Generator[Step, Heard, Outcome | None]:
    """Keep what the reply says before anybody uses it; None: send once more, if that is allowed."""
    match reply:
        case Granted():
            record = granted(sent, reply)
            failed = yield from _keep(Unsaved(record, sent.fingerprint), version)
            return failed or (
                Have(record.access, record) if record.access else NotYet(reply, record)
            )
        case Refused():
            record = replace(sent, attempt=None, ended=State.REFUSED, reason=reply.word)
            failed = yield from _keep(Unsaved(record, sent.fingerprint), version)
            return failed or Stopped(State.REFUSED, record)
        case Unsent() | Declined():
            record = before(sent)
            failed = yield from _keep(Unsaved(record, sent.fingerprint, exactly=sent), version)
            return failed or NotYet(reply, record)
        case Unanswered():
            return NotYet(reply, sent) if times >= TRIES and not sent.rotates else None
    raise TypeError(f"{type(reply).__name__} is no reply")


def _keep(unsaved: Unsaved, version: str | None) -> Generator[Step, Heard, Outcome | None]:
    """Put *unsaved* into the store; None when that is done, or no longer needed.

    Whoever took us for dead may have written meanwhile. Unless they got a token of their own, ours
    is the only one there is.
    """
    heard: Heard = None
    for _ in range(KEEPING):
        if version is None:
            seen = yield Read()
            if not isinstance(seen, Seen):
                heard = seen
                yield Pause(AGAIN)
                continue
            if seen.record == unsaved.record or not _belongs(unsaved, seen.record):
                return None
            version = seen.version
        heard = yield Swap(version, unsaved.record)
        if isinstance(heard, Swapped):
            return None
        version = None
        if isinstance(heard, Trouble):
            yield Pause(AGAIN)
    return NoStore(_trouble(heard), unsaved)


def _belongs(unsaved: Unsaved, found: Record | None) -> bool:
    if unsaved.exactly is not None:
        return found == unsaved.exactly
    return found is None or found.fingerprint == unsaved.sent


def _trouble(heard: Heard) -> Trouble:
    return heard if isinstance(heard, Trouble) else Trouble("others write to it all the time")
