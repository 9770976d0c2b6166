"""What does a client get for a user who is signed in? Consent, demands, and the tokens."""

from dataclasses import dataclass, replace
from typing import Any

from demo.idp import demands, scopes, tokens
from demo.idp.demands import ClaimsRequest
from demo.idp.desk import Desk
from demo.idp.directory import GRAPH, Tenant
from demo.idp.errors import AadError, refuse
from demo.idp.jose import b64url
from demo.idp.scopes import Ask
from demo.idp.sessions import RefreshToken
from demo.idp.tokens import Client, Issuance, SignIn, Target

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted for a signed-in user; *family* continues a refresh token's rotation."""

    scope: str
    claims: ClaimsRequest
    family: str | None = None
    nonce: str | None = None


def for_user(
    desk: Desk, tenant: Tenant, client: Client, sign_in: SignIn, wish: Wish
) -> Answer | AadError:
    """Return the tokens for *sign_in*, or the first reason why there are none."""
    ask = scopes.parse(wish.scope, tenant, client, desk)
    if isinstance(ask, AadError):
        return ask
    granted = grant(desk, tenant, client, sign_in, ask)
    if isinstance(granted, AadError):
        return granted
    if weak := demands.check(desk, tenant, ask.resource, wish.claims, sign_in.methods):
        return weak
    satisfied = replace(sign_in, contexts=wish.claims.contexts)
    return _tokens(desk, tenant, client, satisfied, wish, ask, granted)


def grant(
    desk: Desk, tenant: Tenant, client: Client, sign_in: SignIn, ask: Ask
) -> tuple[str, ...] | AadError:
    """Return the scopes that *client* gets, all of what it asked for or none."""
    if ask.resource is GRAPH:
        return ask.names
    directory, app = desk.directory, client.app
    consented = directory.consented(tenant.id, app.client_id, ask.resource, sign_in.user.id)
    asked = consented if ask.default else ask.names
    if not asked or not set(asked) <= set(consented):
        return refuse(65001, suberror="consent_required", client=app.client_id, name=app.name)
    return asked


def _tokens(
    desk: Desk,
    tenant: Tenant,
    client: Client,
    sign_in: SignIn,
    wish: Wish,
    ask: Ask,
    granted: tuple[str, ...],
) -> Answer:
    user, roles_of = sign_in.user, desk.directory.roles
    resource = ask.resource.client_id
    target = Target(ask.resource, ask.identifier, granted, roles_of(tenant.id, user.id, resource))
    issued = issuance(desk, tenant, client, wish.claims.capabilities)
    signer = desk.ring.signing(tenant.id)
    answer: Answer = {
        "token_type": "Bearer",
        "scope": ask.granted(granted),
        "expires_in": issued.lifetime - 1,
        "ext_expires_in": issued.lifetime - 1,
        "access_token": signer.sign(
            tokens.user_token(issued, sign_in, target), version=target.version
        ),
        "client_info": b64url(f'{{"uid":"{user.id}","utid":"{tenant.id}"}}'.encode()),
    }
    answer |= _renewal(desk)
    if "offline_access" in ask.oidc:
        family = wish.family or desk.fresh()
        kept = RefreshToken(sign_in, tenant.id, client.app.client_id, wish.scope, family, desk.now)
        answer["refresh_token"] = desk.sessions.keep_refresh_token(kept)
    if "openid" in ask.oidc:
        own_roles = roles_of(tenant.id, user.id, client.app.client_id)
        answer["id_token"] = signer.sign(tokens.id_token(issued, sign_in, wish.nonce, own_roles))
    return answer


def issuance(
    desk: Desk,
    tenant: Tenant,
    client: Client,
    capabilities: tuple[str, ...] = (),
    lifetime: int | None = None,
) -> Issuance:
    """Return what all tokens of one answer have in common."""
    return Issuance(
        names=desk.names,
        tenant=tenant,
        client=client,
        now=desk.now,
        lifetime=lifetime or desk.names.settings.access_token_lifetime,
        uti=desk.fresh(),
        capabilities=capabilities,
    )


def _renewal(desk: Desk) -> Answer:
    seconds = desk.names.settings.refresh_in
    return {} if seconds is None else {"refresh_in": seconds}


def for_app(
    desk: Desk,
    tenant: Tenant,
    client: Client,
    ask: Ask,
    claims: ClaimsRequest,
    lifetime: int | None = None,
) -> Answer:
    """Return an app-only token: no scope, no refresh token, no id token, no client_info."""
    issued = issuance(desk, tenant, client, claims.capabilities, lifetime)
    roles = desk.directory.roles(tenant.id, client.app.client_id, ask.resource.client_id)
    target = Target(ask.resource, ask.identifier, roles=roles)
    signer = desk.ring.signing(tenant.id)
    return {
        "token_type": "Bearer",
        "expires_in": issued.lifetime - 1,
        "ext_expires_in": issued.lifetime - 1,
        "access_token": signer.sign(tokens.app_token(issued, target), version=target.version),
        **_renewal(desk),
    }
