"""In the client: attempts to reach an application past its Envoy. Prints how many were made.

What counts is what the application heard; each attempt has a path or a protocol of its own.
"""

import json
import socket
import ssl
import sys

ADDRESS = sys.argv[2]
PORTS = (8000, 9000, 15000, 15001, 15006, 15020, 22, 80, 443, 65535)
made = 0


def attempt(port: int, data: bytes, source: int = 0, tls: bool = False) -> bytes:
    """Send *data* to *port*, from the port *source* if there is one; return what came back."""
    global made
    made += 1
    try:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            connection.settimeout(1.5)
            if source:
                connection.bind(("", source))
            connection.connect((ADDRESS, port))
            if tls:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                connection = context.wrap_socket(connection)
            connection.sendall(data)
            return connection.recv(65536)
    except OSError:
        return b""


def request(path: str, host: str = "app", method: str = "GET", more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n".encode()


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)


def h2(path: bytes) -> bytes:
    # RFC 7541 §6: :method GET and :scheme http by index, :path and :authority by name
    block = b"\x82\x86\x04" + bytes([len(path)]) + path + b"\x01\x03app"
    return PREFACE + len(block).to_bytes(3, "big") + b"\x01\x05" + (1).to_bytes(4, "big") + block


heard = []
for port in PORTS:
    heard.append(attempt(port, request(f"/secret/port/{port}")))
    heard.append(attempt(port, b""))
    heard.append(attempt(port, b"GET /secret/1.0 HTTP/1.0\r\n\r\n"))
    heard.append(attempt(port, b"GET /secret/0.9\r\n"))
    heard.append(attempt(port, h2(b"/secret/h2")))
    heard.append(attempt(port, request("/secret/tls"), tls=True))
    heard.append(
        attempt(port, b"PROXY TCP4 127.0.0.1 127.0.0.1 1 8000\r\n" + request("/secret/proxied"))
    )
    heard.append(attempt(port, b"\r\n\r\n\x16\x03\x01\x00\x00"))
for number, host in enumerate(
    (
        "127.0.0.1:8000",
        "localhost:8000",
        f"{ADDRESS}:8000",
        "127.0.0.1:15020",
        "app:8000",
        "[::1]:8000",
    )
):
    for port in (8000, 15006):
        heard.append(attempt(port, request(f"/secret/host/{number}", host)))
        heard.append(attempt(port, request(f"http://{host}/secret/absolute/{number}", host)))
        heard.append(attempt(port, request(host, host, "CONNECT")))
for number, more in enumerate(
    (
        "x-envoy-original-dst-host: 127.0.0.1:8000\r\n",
        "x-envoy-original-path: /open\r\n",
        "x-original-url: /open\r\n",
        "x-forwarded-for: 127.0.0.1\r\n",
        "forwarded: for=127.0.0.1\r\n",
        "x-auth-subject: root\r\nx-auth-kind: user\r\n",
        "authorization: Bearer e30.e30.\r\n",
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n",
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        "x-http-method-override: OPTIONS\r\n",
        "x-envoy-decorator-operation: a\r\nx-envoy-upstream-alt-stat-name: a\r\n",
        "expect: 100-continue\r\ncontent-length: 0\r\n",
    )
):
    for port in (8000, 15006):
        heard.append(attempt(port, request(f"/secret/header/{number}", more=more)))
SMUGGLED = request("/secret/smuggled")
for more in (
    f"content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED.decode()}",
    f"content-length: 3\r\ncontent-length: 0\r\n\r\nabc{SMUGGLED.decode()}",
    f"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n{SMUGGLED.decode()}",
    f"transfer-encoding:\x0bchunked\r\n\r\n0\r\n\r\n{SMUGGLED.decode()}",
):
    heard.append(attempt(8000, f"POST /open HTTP/1.1\r\nHost: app\r\n{more}".encode()))
heard.append(attempt(8000, request("/open") + request("/secret/pipelined")))
for path in (
    "/open/../secret",
    "//secret",
    "/open;/../secret",
    "/%6fpen/%2e%2e/secret",
    "/OPEN",
    "/open%00/secret",
):
    heard.append(attempt(8000, request(path + "/path")))
for method in ("OPTIONS", "HEAD", "TRACE", "PURGE", "PRI", "get"):
    heard.append(attempt(8000, request(f"/secret/method/{method}", method=method)))
for source in (53, 443, 8000, 15001, 15006, 15021):
    heard.append(attempt(8000, request(f"/secret/source/{source}"), source=source))
for port in (8000, 9000, 9001, 15006, 53, 443):
    made += 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(1)
        try:
            sender.sendto(b"hello", (ADDRESS, port))
            heard.append(sender.recvfrom(100)[0])
        except OSError:
            pass
good = attempt(8000, request("/open"))
print(
    json.dumps(
        {"made": made, "open": good[:15].decode(), "banner": sum(b"heard" in h for h in heard)}
    )
)
