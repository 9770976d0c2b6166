"""Which ports are free on this machine's loopback?"""

from __future__ import annotations

import random
import socket
from collections import deque

# Below the range from which Linux gives ports to outgoing connections (ip_local_port_range),
# so that none of them takes a port between our look and its use.
FIRST, LAST = 20_000, 31_999


class NoFreePort(RuntimeError):
    """So many ports are taken that the demo cannot start."""


# Given to somebody in this process who may not listen yet; the oldest may be given again.
_given: deque[int] = deque(maxlen=4000)


class Ports:
    """Hands out free ports, to each who asks in this process another one."""

    def take(self) -> int:
        """A port on which nobody listens."""
        for _ in range(500):
            port = random.randint(FIRST, LAST)
            if port not in _given and _free(port):
                _given.append(port)
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
