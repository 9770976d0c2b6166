"""Notification: tells a person about something."""

from __future__ import annotations

from fastapi import FastAPI, Request
from pydantic import BaseModel

from demo.services import journal
from demo.services.caller import who

app = FastAPI(title="Notification")


class Notice(BaseModel):
    """What somebody is told about."""

    about: str


@app.get("/healthz")
def healthz() -> dict[str, str]:
    """Say that we are up."""
    return {"status": "ok"}


@app.post("/notifications", status_code=202)
def notify(notice: Notice, request: Request) -> dict[str, str]:
    """Tell the person on whose behalf the call is made."""
    caller = who(request.headers)
    journal.note(notice.about, caller)
    return {"to": caller.name, "id": caller.id, "tenant": caller.tenant}


@app.get("/journal")
def visits() -> list[dict[str, object]]:
    """Whom we saw."""
    return journal.visits()
