"""The sample programs hold no auth code, and know their callers from headers alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from demo import services
from demo.services.caller import who

FOLDER = Path(services.__file__).parent


@pytest.mark.parametrize("word", ["token", "jwt", "authorization", "msal"])
def test_a_reader_who_greps_the_services_finds_nothing(word: str) -> None:
    files = sorted(FOLDER.rglob("*.py"))
    assert len(files) >= 9
    found = [
        f"{file.name}:{number}: {line}"
        for file in files
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if re.search(word, line, re.IGNORECASE)
    ]
    assert found == []


def test_the_services_import_neither_the_agent_nor_the_identity_provider() -> None:
    lines = [line for file in FOLDER.rglob("*.py") for line in file.read_text().splitlines()]
    imports = [line for line in lines if re.match(r"\s*(from|import)\s", line)]
    assert imports
    assert [line for line in imports if re.search(r"\bagent\b|demo\.idp", line)] == []


def test_a_caller_is_read_from_the_headers_that_the_sidecar_wrote() -> None:
    caller = who(
        {
            "x-auth-kind": "user",
            "x-auth-subject": "4711",
            "x-auth-tenant": "contoso",
            "x-auth-name": "Zo%C3%AB %C3%85ngstr%C3%B6m",
            "x-auth-email": "zoe@fabrikam.example",
            "x-auth-roles": "Admin,Editor",
            "x-auth-scopes": "read write",
            "x-correlation-id": "txn",
        }
    )
    assert caller.name == "Zoë Ångström"
    assert (caller.id, caller.roles, caller.scopes) == (
        "4711",
        ("Admin", "Editor"),
        ("read", "write"),
    )


def test_nobody_is_read_where_no_header_is() -> None:
    caller = who({})
    assert (caller.kind, caller.id, caller.name, caller.roles) == ("", "", "", ())
