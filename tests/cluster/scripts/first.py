"""In the client: when does the first protected request succeed? Prints UTC seconds."""

import json
import sys
import time
from pathlib import Path

import requests

from demo.idp.loading import load_file
from demo.people import TASKS_SCOPE, SignIn

NAMESPACE = sys.argv[1]
users = load_file(Path("/opt/demo/src/demo/directory.yaml")).users
ada = next(user for user in users if user.username.startswith("ada"))
idp = SignIn(f"https://idp.{NAMESPACE}:8443", Path("/idp/ca.pem"), "")
headers = idp.person(ada, TASKS_SCOPE).headers
end = time.time() + 200
while time.time() < end:
    try:
        with requests.Session() as session:
            session.trust_env = False
            url = f"http://tasks.{NAMESPACE}/api/tasks"
            if session.get(url, headers=headers, timeout=2).ok:
                break
    except requests.RequestException:
        pass
    time.sleep(0.1)
print(json.dumps(time.time()))
