"""The gateway: the front door of the shop."""

from __future__ import annotations

import os
from typing import Any

import requests
from fastapi import FastAPI, Request, Response

from demo.services import journal
from demo.services.caller import who

ORDERS = os.environ.get("ORDERS_URL", "http://orders.shop:8004")

app = FastAPI(title="Gateway")


@app.get("/healthz")
def healthz() -> dict[str, str]:
    """Say that we are up."""
    return {"status": "ok"}


@app.get("/orders/{order}")
def order(order: str, request: Request, response: Response) -> Any:
    """Show an order of the caller."""
    return _ask(f"{ORDERS}/orders/{order}", order, request, response)


@app.get("/orders/{order}/parcel")
def parcel(order: str, request: Request, response: Response) -> Any:
    """Show where an order's parcel is."""
    return _ask(f"{ORDERS}/orders/{order}/parcel", order, request, response)


@app.get("/journal")
def visits() -> list[dict[str, object]]:
    """Whom we saw."""
    return journal.visits()


def _ask(url: str, order: str, request: Request, response: Response) -> Any:
    journal.note(order, who(request.headers))
    answer = requests.get(url, timeout=10)
    response.status_code = answer.status_code
    return answer.json()
