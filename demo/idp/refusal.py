"""How does a token answer or an AADSTS error look on the wire?"""

import json
import uuid
from collections.abc import Mapping
from typing import Any

from flask import Response, request

from demo.idp.errors import AadError
from demo.idp.world import World


def refusal(world: World, error: AadError) -> Response:
    """Return an AADSTS error as Entra sends it."""
    given = request.headers.get("client-request-id", "")
    trace_id, correlation_id = str(uuid.uuid4()), given or str(uuid.uuid4())
    body = error.body(world.clock(), trace_id, correlation_id, world.names.base_url)
    answer = uncached(body)
    answer.status_code = error.status
    answer.headers["x-ms-request-id"] = trace_id
    return answer


def uncached(body: Mapping[str, Any]) -> Response:
    answer = Response(json.dumps(body), mimetype="application/json")
    # RFC 6749 §5.1
    answer.headers["Cache-Control"] = "no-store, no-cache"
    answer.headers["Pragma"] = "no-cache"
    return answer
