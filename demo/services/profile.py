"""The suite's profile service: what a person is called and where they are written to."""

from __future__ import annotations

from fastapi import FastAPI, Request

from demo.services import journal
from demo.services.caller import who

app = FastAPI(title="Profile")


@app.get("/healthz")
def healthz() -> dict[str, str]:
    """Say that we are up."""
    return {"status": "ok"}


@app.get("/me")
def me(request: Request, page: str = "") -> dict[str, str]:
    """Say what we know of the caller."""
    caller = who(request.headers)
    journal.note(page, caller)
    return {"name": caller.name, "email": caller.email, "id": caller.id}


@app.get("/journal")
def visits() -> list[dict[str, object]]:
    """Whom we saw."""
    return journal.visits()
