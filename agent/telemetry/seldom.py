"""What is worth a line in the log, and what was said a moment ago?"""

from __future__ import annotations

import threading
from collections.abc import Callable

PAUSE = 30.0  # seconds between two lines about one thing
_MOST = 64  # things remembered; whoever can invent more says them all at once


class Seldom:
    """Lets one line in `PAUSE` seconds through for each thing, and counts the others.

    *clock* gives seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float], pause: float = PAUSE) -> None:
        self._clock = clock
        self._pause = pause
        self._lock = threading.Lock()
        self._said: dict[str, tuple[float, int]] = {}

    def due(self, thing: str) -> int | None:
        """None while *thing* was said a moment ago; else how often it was held back since."""
        now = self._clock()
        with self._lock:
            at, held = self._said.get(thing, (float("-inf"), 0))
            if now - at < self._pause:
                self._said[thing] = (at, held + 1)
                return None
            if thing not in self._said and len(self._said) >= _MOST:
                self._said.clear()
            self._said[thing] = (now, 0)
            return held
