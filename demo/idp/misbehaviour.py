"""What does a fault do to a request? Before the answer is made, and after."""

import json
import threading

from flask import Response

from demo.idp.faults import Fault

_ERROR_PAGE = "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>"


def before(fault: Fault, cleared: threading.Event) -> Response | None:
    """Return an answer in place of the right one, or None to go on.

    Raises ConnectionResetError where there is to be no answer: the server drops the
    connection then.
    """
    match fault.kind:
        case "throttle":
            answer = Response("Too many requests", status=429, mimetype="text/plain")
            answer.headers["Retry-After"] = str(fault.retry_after)
            return answer
        case "html_error":
            page = _ERROR_PAGE.format("Our services aren't available right now")
            return Response(page, status=fault.status, mimetype="text/html")
        case "json_error":
            body = '{"error":"temporarily_unavailable","error_description":"AADSTS90033"}'
            return Response(body, status=fault.status, mimetype="application/json")
        case "empty":
            return Response("", status=200, mimetype="application/json")
        case "html":
            return Response(_ERROR_PAGE.format("Welcome"), status=200, mimetype="text/html")
        case "latency":
            # Cut short when the fault is cleared, so that nothing waits after a test.
            cleared.wait(fault.milliseconds / 1000)
            return None
        case "hang":
            cleared.wait()
            raise ConnectionResetError("the fault 'hang' was cleared")
        case "reset":
            raise ConnectionResetError("the fault 'reset' is in force")
        case _:
            return None


def after(fault: Fault, response: Response) -> Response:
    """Spoil the right answer where the fault says so."""
    if fault.kind == "truncated":
        whole = response.get_data()
        response.set_data(whole[: len(whole) // 2])
    elif fault.kind == "wrong_issuer":
        document = response.get_json(silent=True)
        if isinstance(document, dict) and "issuer" in document:
            wrong = {**document, "issuer": "https://login.attacker.example/v2.0"}
            response.set_data(json.dumps(wrong))
    return response
