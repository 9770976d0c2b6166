"""What becomes of a stored token that nobody asks for? A thread looks after each of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from agent.credentials.stored.rotator import Rotator

log = logging.getLogger("attache.credentials")


def pace(every: float, waiting: float, random: float) -> float:
    """Seconds until the next look: *every*, jittered, and never while waiting is told. Pure.

    >>> pace(4.0, 0.0, 0.5), pace(4.0, 30.0, 0.0)
    (4.0, 30.0)
    """
    return max(every * (0.75 + 0.5 * random), waiting)


class Keeper:
    """Looks at one token: what was left open is finished, and what lies idle exercised."""

    def __init__(self, rotator: Rotator, every: float, random: Callable[[], float]) -> None:
        """*every*: seconds between two looks, which cost one read of the store."""
        self._rotator = rotator
        self._every = every
        self._random = random
        self._stopping = threading.Event()
        self._started = False

    def start(self) -> None:
        """Look from now on; once is enough."""
        if self._started:
            return
        self._started = True
        name = f"token {self._rotator.name}"
        threading.Thread(target=self._loop, name=name, daemon=True).start()

    def stop(self) -> None:
        """Look no more; a rotation under way comes to its end."""
        self._stopping.set()

    def _loop(self) -> None:
        wait = 0.0
        while not self._stopping.wait(wait):
            try:
                self._rotator.look()
            except Exception:
                log.exception("looking after a stored token failed. This is a bug: report it")
            wait = pace(self._every, self._rotator.wait_for(), self._random())
