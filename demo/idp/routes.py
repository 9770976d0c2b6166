"""Which URL answers what? The provider's public face."""

from collections.abc import Mapping
from typing import cast
from urllib.parse import unquote_plus

from flask import Blueprint, Flask, Response, abort, g, jsonify, request
from werkzeug.exceptions import HTTPException

from demo.idp import grants, imds, metadata
from demo.idp.desk import TokenRequest
from demo.idp.errors import AadError, refuse
from demo.idp.faults import Endpoint, Fault, Visit
from demo.idp.misbehaviour import after, before
from demo.idp.refusal import refusal, uncached
from demo.idp.world import World

# The name of a view says which kind of endpoint it is to faults and counters.
_KINDS: Mapping[str, Endpoint] = {
    "discovery": "discovery",
    "keys": "keys",
    "token": "token",
    "authorize": "authorize",
    "metadata_service": "imds",
}


def public(world: World) -> Blueprint:
    """Return the endpoints of the security token service."""
    face = Blueprint("public", __name__)

    @face.get("/<segment>/.well-known/openid-configuration")
    @face.get("/<segment>/v2.0/.well-known/openid-configuration")
    def discovery(segment: str) -> Response:
        where = _authority(world, segment)
        return jsonify(metadata.discovery(world.names, *where, version=_version()))

    @face.get("/<segment>/discovery/keys")
    @face.get("/<segment>/discovery/v2.0/keys")
    def keys(segment: str) -> Response:
        _authority(world, segment)
        return jsonify(metadata.keys(world.names, world.ring, _version()))

    @face.post("/<segment>/oauth2/token")
    @face.post("/<segment>/oauth2/v2.0/token")
    def token(segment: str) -> Response:
        form = request.form.to_dict()
        if _version() == 1 and "resource" in form and "scope" not in form:
            # The v1 endpoint names a resource; all that was consented to is meant.
            form["scope"] = f"{form['resource']}/.default"
        answer = grants.token(TokenRequest(segment, form, _basic()), world.desk())
        return refusal(world, answer) if isinstance(answer, AadError) else uncached(answer)

    face.register_error_handler(HTTPException, _plain)
    return face


def metadata_service(world: World) -> Blueprint:
    """Return the endpoint of the instance metadata service."""
    face = Blueprint("instance", __name__)

    @face.get("/metadata/identity/oauth2/token")
    def metadata_service() -> Response:
        status, body = imds.token(dict(request.headers), request.args.to_dict(), world.desk())
        answer = jsonify(body)
        answer.status_code = status
        return answer

    return face


def watch(app: Flask, world: World) -> None:
    """Count what *app* is asked, and let it meet the faults in force."""

    @app.before_request
    def arrive() -> Response | None:
        kind = _KINDS.get((request.endpoint or "").rpartition(".")[2])
        if kind is None:
            return None
        visit = Visit(kind, _tenant_name(world), request.form.get("grant_type", ""))
        world.counters.add(visit)
        met = world.faults.take(visit)
        if met is None:
            return None
        g.fault, cleared = met
        if g.fault.kind == "aad_error":
            return refusal(world, _error(g.fault))
        return before(g.fault, cleared)

    @app.after_request
    def leave(response: Response) -> Response:
        fault = g.pop("fault", None)
        return after(fault, response) if fault else response


def _error(fault: Fault) -> AadError:
    return refuse(fault.code, suberror=fault.suberror, claims=fault.claims)


def _authority(world: World, segment: str) -> tuple[str, str]:
    where = metadata.authority(world.directory, segment)
    if where is None:
        abort(refusal(world, refuse(90002, tenant=segment)))
    return where


def _tenant_name(world: World) -> str:
    segment = str((request.view_args or {}).get("segment", ""))
    where = metadata.authority(world.directory, segment) if segment else None
    return where[0] if where else segment


def _version() -> int:
    return 2 if "/v2.0/" in request.path else 1


def _basic() -> tuple[str, str] | None:
    given = request.authorization
    if given is None or given.type != "basic":
        return None
    # RFC 6749 §2.3.1: both halves are form-encoded before they are joined.
    return unquote_plus(given.username or ""), unquote_plus(given.password or "")


def _plain(error: HTTPException) -> Response:
    return cast(Response, error.get_response())
