"""In the client: do people reach what they may? Prints status and reason of each request."""

import json
import sys
from pathlib import Path

import requests

from demo.idp.loading import load_file
from demo.people import TASKS_SCOPE, SignIn

NAMESPACE = sys.argv[1]
TASKS = f"http://tasks.{NAMESPACE}"
people = {
    user.username.partition("@")[0]: user
    for user in load_file(Path("/opt/demo/src/demo/directory.yaml")).users
}
idp = SignIn(f"https://idp.{NAMESPACE}:8443", Path("/idp/ca.pem"), "")
session = requests.Session()
session.trust_env = False


def ask(method, path, who=None, body=None, base=TASKS):
    headers = idp.person(people[who], TASKS_SCOPE).headers if who else {}
    answer = session.request(method, base + path, headers=headers, json=body, timeout=30)
    try:
        said = answer.json()
    except ValueError:
        said = {}
    reason = said.get("type", "").removeprefix("urn:attache:") if isinstance(said, dict) else ""
    return answer.status_code, reason, said


def short(answer):
    return list(answer[:2])


made = ask("POST", "/api/tasks", "ada", {"title": "water the plants"})
found = {
    "ada creates": [made[0], made[2].get("notification_status"), made[2].get("audit_status")],
    "owner": (made[2].get("owner") or {}).get("name"),
    "zoe creates": short(ask("POST", "/api/tasks", "zoe", {"title": "buy ink"})),
    "rita creates": short(ask("POST", "/api/tasks", "rita", {"title": "nap"})),
    "rita reads": short(ask("GET", "/api/tasks", "rita")),
    "ed deletes": short(ask("DELETE", f"/api/tasks/{made[2].get('id')}", "ed")),
    "ada deletes": short(ask("DELETE", f"/api/tasks/{made[2].get('id')}", "ada")),
    "nick": short(ask("POST", "/api/tasks", "nick", {"title": "come in"})),
    "nobody": short(ask("POST", "/api/tasks", None, {"title": "who am I"})),
    "health": short(ask("GET", "/healthz")),
}
print(json.dumps(found))
