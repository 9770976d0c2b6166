"""How are connections accepted? A threaded WSGI server with TLS in the thread's own time."""

import socket
import ssl
import struct
import threading
from typing import Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

# l_onoff=1, l_linger=0: closing sends RST instead of FIN.
_RESET = struct.pack("ii", 1, 0)


class _Handler(WSGIRequestHandler):
    """Keeps quiet, and resets a connection whose request was dropped."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's name
        """Write nothing: standard output belongs to the start-up line."""

    def connection_dropped(
        self, error: BaseException, environ: dict[str, Any] | None = None
    ) -> None:
        """Answer nothing and reset the connection."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close_connection = True


class Listener(ThreadedWSGIServer):
    """Serves one WSGI app from a background thread.

    The handshake happens in the connection's own thread: a client that connects and stays
    silent must not keep the others waiting.
    """

    def __init__(self, host: str, port: int, app: Any, tls: ssl.SSLContext | None) -> None:
        super().__init__(host, port, app, handler=_Handler)
        self.ssl_context = tls
        self._thread = threading.Thread(target=self._serve, name="idp", daemon=True)

    def start(self) -> None:
        """Begin to serve; the socket already listens."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and close the socket."""
        self.shutdown()
        self._thread.join()
        self.server_close()

    def _serve(self) -> None:
        self.serve_forever(poll_interval=0.05)  # seconds that `stop` may take

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Shake hands first, if this listener speaks TLS."""
        if self.ssl_context is not None:
            try:
                request = self.ssl_context.wrap_socket(request, server_side=True)
            except OSError:
                request.close()
                return
        super().process_request_thread(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, without a FIN where it is to be reset."""
        linger = request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(_RESET))
        if linger == _RESET:
            request.close()
        else:
            super().shutdown_request(request)
