"""What can be done in a rotation, what can come of it, and how can it end? Values only."""

from __future__ import annotations

from dataclasses import dataclass

from agent.credentials.stored.life import State
from agent.credentials.stored.record import Access, Record
from agent.credentials.stored.reply import Reply

# What is to be done


@dataclass(frozen=True, slots=True)
class Read:
    """Look at the store; answered by `Seen` or `Trouble`."""


@dataclass(frozen=True, slots=True)
class Swap:
    """Replace what has *version* by *record*; answered by `Swapped`, `Moved` or `Trouble`.

    The version of an empty store is "".
    """

    version: str
    record: Record


@dataclass(frozen=True, slots=True)
class Send:
    """Send the record's refresh token; answered by a `Reply`."""

    record: Record


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds; answered by anything."""

    seconds: float


Step = Read | Swap | Send | Pause


# What came of it


@dataclass(frozen=True, slots=True)
class Seen:
    """What the store holds at `now`. `watched`: seconds that we have seen its attempt unchanged.

    `orphaned`: the store knows that whoever journalled the attempt has ended.
    """

    record: Record | None
    version: str
    now: float
    watched: float = 0.0
    orphaned: bool = False


@dataclass(frozen=True, slots=True)
class Swapped:
    """The record is in the store, on its disk, under this version."""

    version: str


@dataclass(frozen=True, slots=True)
class Moved:
    """Somebody else was there first: nothing was written."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """The store did not do it, or did not say whether; a sentence with a remedy."""

    sentence: str


Heard = Seen | Swapped | Moved | Trouble | Reply | None


# How a run ends


@dataclass(frozen=True, slots=True)
class Have:
    """An access token, and the record that it stands in."""

    access: Access
    record: Record


@dataclass(frozen=True, slots=True)
class Rested:
    """Nothing is due."""

    record: Record


@dataclass(frozen=True, slots=True)
class Stopped:
    """Only a login helps."""

    state: State
    record: Record | None


@dataclass(frozen=True, slots=True)
class NotYet:
    """The server gave no access token, and the refresh token is still ours; `reply` says why."""

    reply: Reply
    record: Record


@dataclass(frozen=True, slots=True)
class Held:
    """Somebody else is at it, and takes longer than our patience."""


@dataclass(frozen=True, slots=True)
class Unsaved:
    """A record that the store did not take yet, in the place of the one whose token was `sent`.

    `exactly`: it replaces this one record only, for it says nothing that another does not know.
    """

    record: Record
    sent: str
    exactly: Record | None = None


@dataclass(frozen=True, slots=True)
class NoStore:
    """The store cannot be used; `unsaved` has to be given to the next run."""

    trouble: Trouble
    unsaved: Unsaved | None = None


Outcome = Have | Rested | Stopped | NotYet | Held | NoStore
