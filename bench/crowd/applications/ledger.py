"""Which of an application's calls were not let out? What it was told by its sidecar."""

from __future__ import annotations

import json
import threading

_UNTOLD = (200, 503)  # 503: the store's own, which is retried


class Ledger:
    """Denied calls by their mark and reason."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._denied: list[dict[str, str]] = []

    def note(self, mark: str, status: int, body: bytes) -> None:
        """Note how one call ended."""
        if status in _UNTOLD and not body.startswith(b'{"type"'):
            return
        try:
            reason = str(json.loads(body)["type"]).removeprefix("urn:attache:")
        except (ValueError, KeyError, TypeError):
            reason = f"status {status}"
        with self._lock:
            self._denied.append({"mark": mark, "reason": reason})

    def denied(self) -> list[dict[str, str]]:
        """What was denied so far."""
        with self._lock:
            return list(self._denied)
