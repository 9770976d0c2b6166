"""What must a place be able to do in which a token is kept? Compare, set, and say when not."""

from __future__ import annotations

from typing import Protocol

MAX_BYTES = 512 * 1024  # of a sealed record


class NotUsable(Exception):
    """The store did not do it, or did not say whether; the text is a sentence with a remedy."""


class Store(Protocol):
    """One place for one sealed record. Every method may raise `NotUsable`.

    `claim`, `abandoned` and `release` are how a store tells that a writer has died. *nonce* names
    the attempt that the claim is for.
    """

    @property
    def name(self) -> str: ...

    def read(self) -> bytes | None: ...

    def swap(self, expected: bytes | None, fresh: bytes, ahead: bool = False) -> bool:
        """Put *fresh* in the place of *expected*, whole and lasting; False if that is not there.

        *ahead*: another one follows that must not fail for want of room.
        """
        ...

    def claim(self, nonce: str) -> None:
        """Say that we are at it, for as long as we live; where another is, nothing is said."""
        ...

    def abandoned(self, nonce: str) -> bool:
        """Whether whoever claimed *nonce* has ended for certain; the claim is then ours."""
        ...

    def release(self) -> None: ...

    def close(self) -> None: ...
