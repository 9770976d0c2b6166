"""The application under attack: it writes down every byte that reaches it, and believes nothing.

HTTP/1.1 is read by hand, as leniently as the worst server would; HTTP/2 by `h2` with its own
checks off.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"


@dataclass
class Seen:
    """One request as the application saw it; trailers stand behind the headers."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    trailers: list[tuple[str, str]] = field(default_factory=list)

    def all(self, name: str) -> list[str]:
        """Every value of a header, whatever the case of its name."""
        return [value for key, value in self.headers if key.lower() == name]

    @property
    def host(self) -> str:
        return ",".join(self.all("host") or self.all(":authority"))


class Recorder:
    """Listens on a port of loopback; `requests`, and `raw` (HTTP/1.1 alone) grow."""

    def __init__(self) -> None:
        self.requests: list[Seen] = []
        self.raw = bytearray()
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def down(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError, EOFError):
            stream = _Stream(connection)
            if stream.peek(len(PREFACE)) == PREFACE:
                self._two(connection, stream)
            else:
                stream.log_to(self.raw)
                while True:
                    self._one(connection, stream)

    # HTTP/1.1 -----------------------------------------------------------------------------

    def _one(self, connection: socket.socket, stream: _Stream) -> None:
        lines = stream.head().decode("latin-1").split("\r\n")
        method, _, rest = lines[0].partition(" ")
        headers = [(n, v.strip()) for n, _, v in (line.partition(":") for line in lines[1:])]
        seen = Seen(method, rest.rpartition(" ")[0], headers)
        self.requests.append(seen)
        if seen.all("upgrade") and "accept" in seen.target:
            connection.sendall(SWITCHED)
            while True:
                seen.body += stream.take(1)
        if "chunked" in ",".join(seen.all("transfer-encoding")).lower():
            while size := int(stream.line().partition(b";")[0], 16):
                seen.body += stream.take(size)
                stream.line()
            while line := stream.line():
                name, _, value = line.decode("latin-1").partition(":")
                seen.trailers.append((name, value.strip()))
        elif lengths := seen.all("content-length"):
            seen.body += stream.take(int(lengths[0]))
        connection.sendall(OK)

    # HTTP/2 -------------------------------------------------------------------------------

    def _two(self, connection: socket.socket, stream: _Stream) -> None:
        config = h2.config.H2Configuration(
            client_side=False,
            header_encoding="latin-1",
            validate_inbound_headers=False,
            validate_outbound_headers=False,
            normalize_inbound_headers=False,
        )
        peer = h2.connection.H2Connection(config)
        peer.initiate_connection()
        open_: dict[int, Seen] = {}
        while True:
            connection.sendall(peer.data_to_send())
            try:
                events = peer.receive_data(stream.some())
            except h2.exceptions.ProtocolError as error:
                self.requests.append(Seen("broken", str(error), []))
                return
            for event in events:
                self._event(peer, event, open_)

    def _event(
        self, peer: h2.connection.H2Connection, event: h2.events.Event, open_: dict[int, Seen]
    ) -> None:
        if isinstance(event, h2.events.RequestReceived):
            headers = [(str(name), str(value)) for name, value in event.headers]
            pseudo = dict(headers)
            seen = Seen(pseudo.get(":method", ""), pseudo.get(":path", ""), headers)
            self.requests.append(seen)
            open_[event.stream_id] = seen
        elif isinstance(event, h2.events.DataReceived):
            open_[event.stream_id].body += event.data
            peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            trailers = [(str(name), str(value)) for name, value in event.headers]
            open_[event.stream_id].trailers += trailers
        elif isinstance(event, h2.events.StreamEnded):
            peer.send_headers(event.stream_id, [(":status", "200")])
            peer.send_data(event.stream_id, b"ok", end_stream=True)


class _Stream:
    """Bytes of one connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._log: bytearray | None = None
        self._held = b""

    def log_to(self, log: bytearray) -> None:
        """Write down all that came, and all that comes."""
        self._log = log
        log += self._held

    def _more(self) -> None:
        data = self._connection.recv(65536)
        if not data:
            raise EOFError
        if self._log is not None:
            self._log += data
        self._held += data

    def some(self) -> bytes:
        if not self._held:
            self._more()
        data, self._held = self._held, b""
        return data

    def peek(self, size: int) -> bytes:
        while len(self._held) < size:
            self._more()
        return self._held[:size]

    def take(self, size: int) -> bytes:
        data = self.peek(size)
        self._held = self._held[size:]
        return data

    def line(self) -> bytes:
        return self._until(b"\r\n")

    def head(self) -> bytes:
        return self._until(b"\r\n\r\n")

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._held:
            self._more()
        data, _, self._held = self._held.partition(mark)
        return data
