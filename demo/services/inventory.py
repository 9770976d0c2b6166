"""Inventory: how much of an item is left."""

from __future__ import annotations

from fastapi import FastAPI, Request

from demo.services import journal
from demo.services.caller import who

STOCK = {"teapot": 12, "kettle": 3}

app = FastAPI(title="Inventory")


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that we are up."""
    return {"status": "ok"}


@app.get("/stock/{item}")
async def stock(item: str, request: Request, order: str = "") -> dict[str, object]:
    """Say how many are left, and for whom we looked."""
    caller = who(request.headers)
    journal.note(order, caller)
    return {"item": item, "left": STOCK.get(item, 0), "asked_by": caller.shown()}


@app.get("/journal")
async def visits() -> list[dict[str, object]]:
    """Whom we saw."""
    return journal.visits()
