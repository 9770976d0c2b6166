"""In the identity provider: replace a client secret, or let it trust a service account."""

import json
import ssl
import sys
import urllib.request

KEY = open("/state/control-key").read()
CONTEXT = ssl.create_default_context(cafile="/state/ca.pem")


def control(method: str, data: bytes | None = None) -> str:
    headers = {"X-Control-Key": KEY} | ({"Content-Type": "application/json"} if data else {})
    request = urllib.request.Request(
        "https://localhost:8443/_control/directory", data, headers, method=method
    )
    return urllib.request.urlopen(request, context=CONTEXT).read().decode()


_, what, *given = sys.argv
directory = json.loads(control("GET"))
for app in directory["apps"]:
    if app["name"] != "task-api":
        continue
    if what == "federate":
        app["federatedCredentials"] = [json.loads(given[0])]
    else:
        app["secrets"] = [{"value": given[0]}]
control("PUT", json.dumps(directory).encode())
