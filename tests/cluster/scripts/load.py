"""In the client: load for so many seconds; prints how many requests were sent and which failed.

Kept connections, as callers have them. The token is taken once: the provider is not what is tried.
"""

import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import requests

from demo.idp.loading import load_file
from demo.people import TASKS_SCOPE, SignIn

NAMESPACE, SECONDS, CALLERS = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
URL = f"http://tasks.{NAMESPACE}/api/tasks"
ada = next(
    user
    for user in load_file(Path("/opt/demo/src/demo/directory.yaml")).users
    if user.username.startswith("ada")
)
idp = SignIn(f"https://idp.{NAMESPACE}:8443", Path("/idp/ca.pem"), "")
headers = idp.person(ada, TASKS_SCOPE).headers
outcomes: Counter[str] = Counter()
examples: dict[str, str] = {}
lock = threading.Lock()
end = time.monotonic() + SECONDS


def note(outcome: str, example: str) -> None:
    with lock:
        outcomes[outcome] += 1
        examples.setdefault(outcome, f"{time.strftime('%X')} {example[:300]}")


def caller(number: int) -> None:
    with requests.Session() as session:
        session.trust_env = False
        while time.monotonic() < end:
            try:
                if number % 4:
                    answer = session.get(URL, headers=headers, timeout=30)
                else:
                    body = {"title": "under load"}
                    answer = session.post(URL, headers=headers, json=body, timeout=30)
                note(str(answer.status_code), answer.text)
            except requests.RequestException as failure:
                note(type(failure).__name__, str(failure))
            time.sleep(0.02)


threads = [threading.Thread(target=caller, args=(number,)) for number in range(CALLERS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
failed = sum(count for outcome, count in outcomes.items() if outcome not in ("200", "201"))
wrong = {outcome: text for outcome, text in examples.items() if outcome not in ("200", "201")}
sent = sum(outcomes.values())
print(json.dumps({"sent": sent, "failed": failed, "outcomes": outcomes, "examples": wrong}))
