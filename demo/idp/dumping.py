"""How is a directory written down? As JSON that reads back as the same directory."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from demo.idp.directory import App, Assignment, Directory


def dump(directory: Directory) -> str:
    """Write a directory as JSON, which `load` reads back as the same directory."""
    return json.dumps(plain(directory), indent=2)


def plain(directory: Directory) -> dict[str, Any]:
    """Return a directory as the members of its file."""
    return {
        "tenants": [_plain(t) for t in directory.tenants],
        "apps": [_plain_app(a) for a in directory.apps],
        "users": [_plain(u) for u in directory.users],
        "assignments": [_plain_assignment(a, directory) for a in directory.assignments],
        "consents": [_plain(c) for c in directory.consents],
        "policies": [_plain(p) for p in directory.policies],
        "managedIdentities": [
            {"app": i.client, "tenant": i.tenant} for i in directory.managed_identities
        ],
    }


def _plain(record: Any) -> dict[str, Any]:
    """Return a record's members under their names in a file, without what is empty."""
    members = {name: getattr(record, name) for name in record.__dataclass_fields__}
    return {_camel(name): v for name, v in members.items() if v is not None and v != ()}


def _plain_app(app: App) -> dict[str, Any]:
    nested: Mapping[str, Any] = {
        "secrets": [
            {**_plain(s), **({} if s.expires is None else {"expires": _moment(s.expires)})}
            for s in app.secrets
        ],
        "federatedCredentials": [_plain(c) for c in app.federated_credentials],
        "preauthorized": [_plain(p) for p in app.preauthorized],
    }
    return {**_plain(app), **nested}


def _plain_assignment(assignment: Assignment, directory: Directory) -> dict[str, Any]:
    kind = "app" if directory.app(assignment.principal) else "user"
    return {
        "tenant": assignment.tenant,
        kind: assignment.principal,
        "resource": assignment.resource,
        "roles": [assignment.role],
    }


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)
