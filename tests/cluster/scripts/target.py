"""In the pod that redirects: an application on every interface, which tells all that it heard."""

import os
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HTTP, RAW, UDP, EXCLUDED = 8000, 9000, 9001, 9090


def say(*words: str) -> None:
    os.write(1, f"HEARD {' '.join(words)}\n".encode())  # one line each, whoever writes


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        say(self.command, self.path)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_GET = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_HEAD = do_CONNECT = do_PATCH = answer

    def log_message(self, *_: object) -> None:
        pass


def raw(port: int) -> None:
    with socket.create_server(("0.0.0.0", port)) as server:
        while True:
            connection, _ = server.accept()
            say("TCP", str(port))
            connection.sendall(b"heard")
            connection.close()


def datagrams() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("0.0.0.0", UDP))
        while True:
            _, sender = server.recvfrom(2048)
            say("UDP")
            server.sendto(b"heard", sender)


for port in (RAW, EXCLUDED):
    threading.Thread(target=raw, args=(port,), daemon=True).start()
threading.Thread(target=datagrams, daemon=True).start()
sys.stdout.write("up\n")
ThreadingHTTPServer(("0.0.0.0", HTTP), Handler).serve_forever()
