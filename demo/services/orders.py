"""Orders: what was ordered, and whether it is in stock."""

from __future__ import annotations

import os

import requests
from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue

from demo.services import journal
from demo.services.caller import who

GATEWAY = os.environ.get("GATEWAY_URL", "http://gateway.shop:8003")
INVENTORY = os.environ.get("INVENTORY_URL", "http://inventory.shop:8005")

app = Flask("orders")


@app.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Say that we are up."""
    return jsonify(status="ok")


@app.get("/orders/<order>")
def show(order: str) -> ResponseReturnValue:
    """Show an order with the stock of its item."""
    caller = who(request.headers)
    journal.note(order, caller)
    answer = requests.get(f"{INVENTORY}/stock/teapot", params={"order": order}, timeout=10)
    return jsonify(
        order=order, for_={"id": caller.id, "name": caller.name}, stock=answer.json()
    ), answer.status_code


@app.get("/orders/<order>/parcel")
def parcel(order: str) -> ResponseReturnValue:
    """Ask the front door where the parcel is: a mistake, for the front door would ask us."""
    journal.note(order, who(request.headers))
    answer = requests.get(f"{GATEWAY}/orders/{order}", timeout=10)
    return jsonify(answer.json()), answer.status_code


@app.get("/journal")
def visits() -> ResponseReturnValue:
    """Whom we saw."""
    return jsonify(journal.visits())
