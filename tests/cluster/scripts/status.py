"""In the client: what does one request come to? Prints its status and reason."""

import json
import sys

import requests

_, _, method, url, *headers = sys.argv
session = requests.Session()
session.trust_env = False
given = dict(header.split("=", 1) for header in headers)
answer = session.request(method, url, headers=given, timeout=30)
try:
    reason = answer.json().get("type", "").removeprefix("urn:attache:")
except (ValueError, AttributeError):
    reason = ""
print(json.dumps([answer.status_code, reason]))
