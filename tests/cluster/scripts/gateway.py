"""In the client: do Entra's tokens end at the gateway? Prints what each request came to."""

import json
import sys
from pathlib import Path

import requests

from demo.idp.loading import load_file
from demo.people import GATEWAY_SCOPE, SignIn

NAMESPACE = sys.argv[1]
users = load_file(Path("/opt/demo/src/demo/directory.yaml")).users
zoe = next(user for user in users if user.username.startswith("zoe"))
idp = SignIn(f"https://idp.{NAMESPACE}:8443", Path("/idp/ca.pem"), "")
bearer = idp.person(zoe, GATEWAY_SCOPE)
session = requests.Session()
session.trust_env = False


def ask(url):
    answer = session.get(url, headers=bearer.headers, timeout=30)
    return answer.status_code, answer.json()


def reason(answer):
    return [answer[0], answer[1].get("type", "").removeprefix("urn:attache:")]


order = ask(f"http://gateway.{NAMESPACE}:8003/orders/4711")
found = {
    "order": order[0],
    "asked by": ((order[1].get("stock") or {}).get("asked_by") or {}).get("name"),
    "loop": reason(ask(f"http://gateway.{NAMESPACE}:8003/orders/4711/parcel")),
    "inventory": reason(ask(f"http://inventory.{NAMESPACE}:8005/stock/teapot")),
}
print(json.dumps(found))
