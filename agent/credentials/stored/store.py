"""What must a place be able to do in which a token is kept? Compare, set, and say when not."""

from __future__ import annotations

from typing import Protocol

MAX_BYTES = 512 * 1024  # of a sealed record


class NotUsable(Exception):
    """The store did not do it, or did not say whether; the text is a sentence with a remedy."""


class Store(Protocol):
    """One place for one sealed record. Every method may raise `NotUsable`.

    `claim` and `release` are how a store tells that a writer has died: `claim` is True where
    nobody else who lives has claimed, None where the store cannot know.
    """

    @property
    def name(self) -> str: ...

    def read(self) -> bytes | None: ...

    def swap(self, expected: bytes | None, fresh: bytes, ahead: bool = False) -> bool:
        """Put *fresh* in the place of *expected*, whole and lasting; False if that is not there.

        *ahead*: another one follows that must not fail for want of room.
        """
        ...

    def claim(self) -> bool | None: ...

    def release(self) -> None: ...

    def close(self) -> None: ...
