"""How does a person's program ask? One request, and what came back."""

from __future__ import annotations

from typing import Any

import requests

from demo.journeys.outcome import Answer
from demo.people import Bearer
from demo.pod import Pod, plain


def ask(pod: Pod, method: str, path: str, bearer: Bearer | None = None, body: Any = None) -> Answer:
    """Send one request to *pod*'s Envoy."""
    with plain() as session:
        answer = session.request(
            method,
            f"{pod.url}{path}",
            headers=bearer.headers if bearer else {},
            json=body,
            timeout=30,
        )
    return Answer(answer.status_code, _body(answer), answer.headers.get("x-correlation-id", ""))


def _body(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return answer.text
