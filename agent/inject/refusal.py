"""Why does a pod get no agent, and what is to be done?"""

from __future__ import annotations

from dataclasses import dataclass, replace

from agent.config.finding import printable


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason in words. `path` is the place in the pod, such as `spec.containers[1].ports`."""

    path: str
    reason: str
    remedy: str

    def under(self, path: str) -> Refusal:
        """The same, seen from the workload whose pod template stands at *path*."""
        parts = [part for part in (path, self.path) if part]
        return replace(self, path=".".join(parts))

    def __str__(self) -> str:
        sentence = f"{self.reason}; {self.remedy}"
        return printable(f"{self.path}: {sentence}" if self.path else sentence)
