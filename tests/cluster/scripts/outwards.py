"""In the pod that redirects: attempts of the application to reach others past its Envoy."""

import json
import socket
import ssl
import sys
import urllib.error
import urllib.request

NAMESPACE, NOTIFICATION, IDP, HOST = sys.argv[1:5]
out: dict[str, object] = {}
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url: str, host: str = "") -> int:
    request = urllib.request.Request(url, headers={"Host": host} if host else {})
    try:
        return int(opener.open(request, timeout=5).status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def tls(address: str, port: int) -> str:
    """Whether a server of TLS answers there."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((address, port), 5) as plain, context.wrap_socket(plain):
            return "connected"
    except OSError:
        return "nobody"


def datagram(address: str, port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(1)
        try:
            sender.sendto(b"hello", (address, port))
            sender.recvfrom(100)
        except TimeoutError:
            return "sent"
        except OSError:
            return "refused"
    return "answered"


out["destination"] = get(f"http://notification.{NAMESPACE}:8001/healthz")
out["its address with its name"] = get(
    f"http://{NOTIFICATION}:15006/healthz", f"notification.{NAMESPACE}:8001"
)
out["another host"] = get(f"http://idp.{NAMESPACE}:8443/")
out["another address"] = get(f"http://{NOTIFICATION}:15006/healthz")
out["tls to the provider"] = tls(IDP, 8443)
out["tls to the api server"] = tls("kubernetes.default.svc", 443)
out["datagram"] = datagram(HOST, 9999)
out["datagram to port 443"] = datagram(NOTIFICATION, 443)
out["name"] = bool(socket.gethostbyname(f"idp.{NAMESPACE}"))
print(json.dumps(out))
