"""How is a token kept in a file? Replaced whole, under a lock, in space that was reserved before.

Beside the file PATH lie PATH.lock (held for the moment of a comparison and its write), PATH.writer
(held while a request is under way: the kernel lets go of it when its holder dies) and PATH.spare
(space for the next record: a full disk is met before a token is sent, not after).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.credentials.stored.store import MAX_BYTES, NotUsable

LOCK_SECONDS = 2.0  # a holder needs milliseconds, unless it was stopped in the middle
_SPARE = 64 * 1024  # bytes that are kept free at least
_STEP = 0.005
_NONCE = 256  # bytes, at most


class FileStore:
    """One file for one token, shared by the processes of one machine."""

    def __init__(self, path: Path) -> None:
        self.name = f"file {path}"
        self._path = Path(os.path.realpath(path))
        self._claimed: int | None = None

    def read(self) -> bytes | None:
        """What stands in the file; None if there is none."""
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from None
        if len(content) > MAX_BYTES:
            raise NotUsable(f"{self.name} is larger than a token's record; name the right file")
        return content

    def swap(self, expected: bytes | None, fresh: bytes, ahead: bool = False) -> bool:
        """Replace the file, if it holds *expected*; both it and its name are then on the disk."""
        try:
            with self._locked():
                if self.read() != expected:
                    return False
                self._replace(fresh, ahead)
                return True
        except OSError as error:
            raise self._unusable(error) from None

    def claim(self, nonce: str) -> None:
        """Say that we are at it: the kernel lets go when we die."""
        handle = self._hold()
        if handle is not None:
            os.pwrite(handle, nonce.encode(), 0)
            os.ftruncate(handle, len(nonce.encode()))

    def abandoned(self, nonce: str) -> bool:
        """Whether *nonce* was claimed last, and nobody holds the claim.

        Who could not claim, because another was just letting go, is not taken for dead: the file
        then names somebody else.
        """
        handle = self._hold() if self._claimed is None else None
        if handle is None:
            return False
        if os.pread(handle, _NONCE, 0) == nonce.encode():
            return True
        self.release()
        return False

    def _hold(self) -> int | None:
        """Take the lock that its holder's death opens; None where another holds it."""
        if self._claimed is not None:
            return self._claimed
        try:
            handle = os.open(self._beside("writer"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return None  # a store that cannot be written says so when it is
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return None
        self._claimed = handle
        return handle

    def release(self) -> None:
        """Say that we are no longer at it."""
        handle, self._claimed = self._claimed, None
        if handle is not None:
            os.close(handle)

    def close(self) -> None:
        """Let go of everything."""
        self.release()

    def _replace(self, fresh: bytes, ahead: bool) -> None:
        """Write beside the file and rename. *ahead*: the room for the next one is taken first."""
        spare, written = self._beside("spare"), self._beside("next")
        self._reserved(spare, len(fresh))
        if ahead:
            written.unlink(missing_ok=True)
        else:
            spare.replace(written)
        try:
            _write(written, fresh)
            written.replace(self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                written.unlink()
            raise
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # the rename itself has to survive a power cut too
        finally:
            os.close(folder)

    def _reserved(self, spare: Path, size: int) -> None:
        handle = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, max(_SPARE, 2 * size))
        finally:
            os.close(handle)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        handle = os.open(self._beside("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            ends = time.monotonic() + LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > ends:
                        raise NotUsable(
                            f"another process holds {self._beside('lock')} for more than "
                            f"{LOCK_SECONDS:g} s; look whether it is stopped (fuser names it)"
                        ) from None
                    time.sleep(_STEP)
            yield
        finally:
            os.close(handle)

    def _beside(self, end: str) -> Path:
        return self._path.with_name(f"{self._path.name}.{end}")

    def _unusable(self, error: OSError) -> NotUsable:
        remedies = {
            errno.ENOSPC: "make room there",
            errno.EDQUOT: "raise the quota",
            errno.EROFS: "mount it writable",
            errno.ENOENT: f"make the folder {self._path.parent}",
        }
        remedy = remedies.get(error.errno or 0, "let this process read and write it")
        return NotUsable(f"{self.name} cannot be used ({error.strerror}); {remedy}")


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(handle, view) :]
        os.ftruncate(handle, len(content))
        os.fsync(handle)
    finally:
        os.close(handle)
