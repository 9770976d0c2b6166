"""Audit: writes down what programs did."""

from __future__ import annotations

from typing import Any

from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue

from demo.services import journal
from demo.services.caller import who

app = Flask("audit")
_entries: list[dict[str, Any]] = []


@app.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Say that we are up."""
    return jsonify(status="ok")


@app.post("/entries")
def write() -> ResponseReturnValue:
    """Write an entry under the name of the program that sent it."""
    caller, body = who(request.headers), request.get_json()
    journal.note(body["about"], caller)
    _entries.append({"by": caller.client, "event": body["event"], "about": body["about"]})
    return jsonify(number=len(_entries), by=caller.client), 201


@app.get("/journal")
def visits() -> ResponseReturnValue:
    """Whom we saw."""
    return jsonify(journal.visits())
