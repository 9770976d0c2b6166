"""The Task API: keeps tasks, tells people about them, and has them written down."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import httpx
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from demo.services import board, journal
from demo.services.caller import who

NOTIFICATION = os.environ.get("NOTIFICATION_URL", "http://notification.shop:8001")
AUDIT = os.environ.get("AUDIT_URL", "http://audit.shop:8002")

_numbers = count(1)
_tasks: dict[int, dict[str, Any]] = {}


@asynccontextmanager
async def _with_client(app: FastAPI) -> AsyncIterator[None]:
    async with httpx.AsyncClient(timeout=10, limits=httpx.Limits(max_connections=200)) as client:
        app.state.client = client
        yield


app = FastAPI(title="Task API", lifespan=_with_client)


class NewTask(BaseModel):
    """What a person writes down."""

    title: str


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Say that we are up."""
    return {"status": "ok"}


@app.get("/", response_class=HTMLResponse)
async def welcome() -> str:
    """The front page."""
    return board.welcome()


@app.get("/board", response_class=HTMLResponse)
async def page(request: Request) -> str:
    """The tasks as a page."""
    return board.board(who(request.headers))


@app.post("/api/tasks", status_code=201)
async def create(task: NewTask, request: Request) -> dict[str, Any]:
    """Keep a task. Whether others could be told never decides whether it is kept."""
    caller = who(request.headers)
    journal.note(task.title, caller)
    kept = {
        "id": next(_numbers),
        "title": task.title,
        "owner": {"name": caller.name, "id": caller.id, "tenant": caller.tenant},
    }
    _tasks[int(str(kept["id"]))] = kept
    client: httpx.AsyncClient = request.app.state.client
    told = await _post(client, f"{NOTIFICATION}/notifications", {"about": task.title})
    written = await _post(client, f"{AUDIT}/entries", {"event": "created", "about": task.title})
    return {
        **kept,
        "notification_status": "sent" if told else "failed",
        "audit_status": "logged" if written else "failed",
    }


@app.get("/api/tasks")
async def all_of_them(request: Request) -> list[dict[str, Any]]:
    """The tasks of the caller's own organisation."""
    caller = who(request.headers)
    return [task for task in _tasks.values() if task["owner"]["tenant"] == caller.tenant]


@app.delete("/api/tasks/{number}", status_code=204)
async def remove(number: int) -> None:
    """Forget a task."""
    if _tasks.pop(number, None) is None:
        raise HTTPException(404, f"there is no task {number}")


@app.get("/journal")
async def visits() -> list[dict[str, object]]:
    """Whom we saw."""
    return journal.visits()


async def _post(client: httpx.AsyncClient, url: str, body: dict[str, str]) -> bool:
    try:
        return (await client.post(url, json=body)).is_success
    except httpx.HTTPError:
        return False
