"""How does a B2C user flow answer? Its metadata, its own keys, and its password grant.

Each flow of a tenant (`Tenant.policies`) is an authority of its own, under
`/{tenant}/{policy}/` and, with an issuer of its own, under `/tfp/{tenant}/{policy}/`.
Not here: the code flow, refresh tokens, and On-Behalf-Of, which B2C does not have either.
"""

from typing import Any

from flask import Blueprint, Response, abort, jsonify, request

from demo.idp import clients, grants, metadata, scopes
from demo.idp.desk import Desk, TokenRequest
from demo.idp.directory import GRAPH, Tenant
from demo.idp.errors import AadError, refuse
from demo.idp.refusal import refusal
from demo.idp.world import World

_FLOW = "/<segment>/<policy>"
_TFP = "/tfp/<segment>/<policy>"


def user_flows(world: World) -> Blueprint:
    """Return the endpoints of all user flows."""
    face = Blueprint("user_flows", __name__)

    def tenant_of(segment: str, policy: str) -> Tenant:
        tenant = world.directory.tenant(segment)
        if tenant is None or policy.lower() not in (p.lower() for p in tenant.policies):
            abort(404)
        return tenant

    @face.get(f"{_FLOW}/v2.0/.well-known/openid-configuration")
    @face.get(f"{_TFP}/v2.0/.well-known/openid-configuration")
    def discovery(segment: str, policy: str) -> Response:
        tenant = tenant_of(segment, policy)
        return jsonify(metadata.flow_discovery(world.names, tenant, policy, tfp=_tfp()))

    @face.get(f"{_FLOW}/discovery/v2.0/keys")
    @face.get(f"{_TFP}/discovery/v2.0/keys")
    def keys(segment: str, policy: str) -> Response:
        return jsonify(metadata.flow_keys(world.ring, tenant_of(segment, policy), policy))

    @face.post(f"{_FLOW}/oauth2/v2.0/token")
    @face.post(f"{_TFP}/oauth2/v2.0/token")
    def token(segment: str, policy: str) -> Response:
        tenant = tenant_of(segment, policy)
        asked = TokenRequest(segment, request.form.to_dict())
        answer = password(asked, tenant, policy, world.desk(), tfp=_tfp())
        return refusal(world, answer) if isinstance(answer, AadError) else jsonify(answer)

    return face


def password(
    request: TokenRequest, tenant: Tenant, policy: str, desk: Desk, *, tfp: bool
) -> dict[str, Any] | AadError:
    """Sign a user in through a flow; the token names the flow in `tfp`."""
    form = request.form
    if form.get("grant_type") != "password":
        return refuse(70003, grant=form.get("grant_type"))
    for parameter in ("username", "password", "scope"):
        if not form.get(parameter):
            return refuse(900144, parameter=parameter)
    client = clients.authenticate(request, tenant, desk)
    if isinstance(client, AadError):
        return client
    user = grants.sign_in_user(desk, tenant, form["username"], form["password"])
    if isinstance(user, AadError):
        return user
    ask = scopes.parse(form["scope"], tenant, client, desk)
    if isinstance(ask, AadError):
        return ask
    # In B2C a client that asks for no resource asks for itself.
    resource = client.app if ask.resource is GRAPH else ask.resource
    lifetime = desk.names.settings.access_token_lifetime
    claims = {
        "iss": metadata.flow_issuer(desk.names, tenant, policy, tfp=tfp),
        "aud": resource.client_id,
        "azp": client.app.client_id,
        "sub": user.id,
        "oid": user.id,
        "name": user.name,
        "emails": [user.email or user.username],
        "tfp": policy,
        "ver": "1.0",
        "iat": desk.now,
        "nbf": desk.now,
        "exp": desk.now + lifetime,
    }
    if ask.resource is not GRAPH:
        claims["scp"] = " ".join(ask.names)
    signer = desk.ring.signing(metadata.flow_scope(tenant, policy))
    return {
        "access_token": signer.sign(claims),
        "token_type": "Bearer",
        "expires_in": str(lifetime),
    }


def _tfp() -> bool:
    return request.path.startswith("/tfp/")
