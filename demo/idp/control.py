"""How do the demo and its tests move the world? Faults, keys, counters, facts."""

import hmac
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from flask import Blueprint, Response, abort, jsonify, request

from demo.idp import dumping, edits, loading
from demo.idp.faults import Fault
from demo.idp.world import World

HEADER = "X-Control-Key"

Body = Mapping[str, Any]
Action = Callable[[World, Body], Any]


def control(world: World, key: str) -> Blueprint:
    """Return the control surface. Every call must carry *key*."""
    face = Blueprint("control", __name__, url_prefix="/_control")

    @face.before_request
    def holder_of_the_key() -> None:
        given = request.headers.get(HEADER, "")
        if not hmac.compare_digest(given.encode(), key.encode()):
            abort(403)

    @face.route("/<path:name>", methods=["GET", "POST", "PUT", "DELETE"])
    def act(name: str) -> tuple[Response, int]:
        action = ACTIONS.get(f"{request.method} {name}")
        if action is None:
            abort(404)
        try:
            result = action(world, _body())
        except (KeyError, TypeError, ValueError) as error:
            return jsonify({"error": f"{type(error).__name__}: {error}"}), 400
        return jsonify(result), 200

    return face


def _body() -> Body:
    body = request.get_json(silent=True) if request.is_json else {}
    if not isinstance(body, dict):
        raise TypeError("the body must be a JSON object")
    return body


def _list_faults(world: World, _: Body) -> Any:
    return [asdict(fault) for fault in world.faults.posted()]


def _post_fault(world: World, body: Body) -> None:
    world.faults.post(Fault(**body))


def _clear_faults(world: World, _: Body) -> None:
    world.faults.clear()


def _read_counters(world: World, _: Body) -> Any:
    return world.counters.rows()


def _reset_counters(world: World, _: Body) -> None:
    world.counters.reset()


def _list_keys(world: World, _: Body) -> Any:
    ring = world.ring
    return {"active": ring.active, "keys": [{"kid": k.kid, "scope": k.scope} for k in ring.keys]}


def _rotate(world: World, _: Body) -> Any:
    return {"kid": world.rotate()}


def _publish(world: World, _: Body) -> Any:
    return {"kid": world.publish_key()}


def _activate(world: World, body: Body) -> None:
    world.activate_key(body["kid"])


def _retire(world: World, body: Body) -> None:
    world.retire_key(body["kid"])


def _mint(world: World, body: Body) -> Any:
    return {"token": world.mint(body["claims"], body.get("kid"), body.get("version", 2))}


def _read_directory(world: World, _: Body) -> Any:
    return dumping.plain(world.directory)


def _replace_directory(world: World, _: Body) -> None:
    directory = loading.load(request.get_data(as_text=True), "request body")
    world.change(lambda _: directory)


def _revoke_sessions(world: World, body: Body) -> None:
    world.sessions.revoke_user(body["user"])


def _edit(name: str) -> Action:
    return lambda world, body: world.change(lambda was: edits.EDITS[name](was, **body))


ACTIONS: Mapping[str, Action] = {
    "GET faults": _list_faults,
    "POST faults": _post_fault,
    "DELETE faults": _clear_faults,
    "GET counters": _read_counters,
    "DELETE counters": _reset_counters,
    "GET keys": _list_keys,
    "POST keys/rotate": _rotate,
    "POST keys/publish": _publish,
    "POST keys/activate": _activate,
    "POST keys/retire": _retire,
    "POST mint": _mint,
    "GET directory": _read_directory,
    "PUT directory": _replace_directory,
    "POST sessions/revoke": _revoke_sessions,
    **{f"POST directory/{name}": _edit(name) for name in edits.EDITS},
}
