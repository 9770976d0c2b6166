"""The portal of the suite: a person's start page."""

from __future__ import annotations

import os

import requests
from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue

from demo.services import journal
from demo.services.caller import who

PROFILE = os.environ.get("PROFILE_URL", "http://profile.shop:8007")

app = Flask("portal")


@app.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Say that we are up."""
    return jsonify(status="ok")


@app.get("/pages/<page>")
def show(page: str) -> ResponseReturnValue:
    """Show a page, with what the profile knows of its reader."""
    caller = who(request.headers)
    journal.note(page, caller)
    answer = requests.get(f"{PROFILE}/me", params={"page": page}, timeout=10)
    return jsonify(page=page, reader=caller.id, profile=answer.json()), answer.status_code


@app.get("/journal")
def visits() -> ResponseReturnValue:
    """Whom we saw."""
    return jsonify(journal.visits())
