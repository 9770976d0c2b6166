"""Which ports are free on this machine's loopback?"""

from __future__ import annotations

import random
import socket

# Below the range from which Linux gives ports to outgoing connections (ip_local_port_range),
# so that none of them takes a port between our look and its use.
FIRST, LAST = 20_000, 31_999


class NoFreePort(RuntimeError):
    """So many ports are taken that the demo cannot start."""


class Ports:
    """Hands out free ports, each once."""

    def __init__(self) -> None:
        self._given: set[int] = set()

    def take(self) -> int:
        """A port on which nobody listens."""
        for _ in range(500):
            port = random.randint(FIRST, LAST)
            if port not in self._given and _free(port):
                self._given.add(port)
                return port
        raise NoFreePort(
            f"no free port was found between {FIRST} and {LAST}; end what listens there "
            "(ss -ltn shows it) and start again"
        )


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
