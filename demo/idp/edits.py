"""Which facts can change while the provider runs? Each edit returns a new directory."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from demo.idp.directory import (
    AccessPolicy,
    App,
    Assignment,
    Consent,
    Demand,
    Directory,
    Tenant,
    User,
)


def revoke_consent(
    directory: Directory, client: str, resource: str, tenant: str | None = None
) -> Directory:
    """Take back all that *client* may do at *resource*, pre-authorisation included."""
    asking, asked = _app(directory, client), _app(directory, resource)
    where = _tenant(directory, tenant).id if tenant else None
    kept = tuple(
        c
        for c in directory.consents
        if (c.client, c.resource) != (asking.client_id, asked.client_id)
        or where not in (None, c.tenant)
    )
    if where is None:
        trusted = tuple(p for p in asked.preauthorized if p.client != asking.client_id)
        directory = directory.with_app(replace(asked, preauthorized=trusted))
    return replace(directory, consents=kept)


def grant_consent(
    directory: Directory,
    client: str,
    resource: str,
    scopes: list[str],
    tenant: str,
    user: str | None = None,
) -> Directory:
    """Consent for one user, or as an administrator for all."""
    where = _tenant(directory, tenant)
    consent = Consent(
        where.id,
        _app(directory, client).client_id,
        _app(directory, resource).client_id,
        tuple(scopes),
        _user(directory, where, user).id if user else None,
    )
    return replace(directory, consents=(*directory.consents, consent))


def assign_role(
    directory: Directory, principal: str, resource: str, role: str, tenant: str
) -> Directory:
    """Give an app role to a user (object id or name) or an app (client id or name)."""
    where = _tenant(directory, tenant)
    assignment = Assignment(
        where.id, _principal(directory, where, principal), _app(directory, resource).client_id, role
    )
    return replace(directory, assignments=(*directory.assignments, assignment))


def remove_role(
    directory: Directory, principal: str, resource: str, role: str, tenant: str
) -> Directory:
    """Take an app role away."""
    where = _tenant(directory, tenant)
    gone = Assignment(
        where.id, _principal(directory, where, principal), _app(directory, resource).client_id, role
    )
    return replace(directory, assignments=tuple(a for a in directory.assignments if a != gone))


def expire_secrets(directory: Directory, client: str, at: int = 0) -> Directory:
    """Let every secret of *client* end at *at* (UTC seconds since the epoch)."""
    app = _app(directory, client)
    secrets = tuple(replace(secret, expires=at) for secret in app.secrets)
    return directory.with_app(replace(app, secrets=secrets))


def remove_service_principal(directory: Directory, client: str, tenant: str) -> Directory:
    """Take an app out of a tenant."""
    app, where = _app(directory, client), _tenant(directory, tenant)
    return directory.with_app(replace(app, tenants=tuple(t for t in app.tenants if t != where.id)))


def set_policy(
    directory: Directory, resource: str, demand: Demand, tenant: str | None = None
) -> Directory:
    """Put a conditional-access policy on *resource* in the place of those it has."""
    if demand not in ("mfa", "block"):
        raise ValueError(f"a policy demands 'mfa' or 'block', not {demand!r}")
    app = _app(directory, resource)
    where = _tenant(directory, tenant).id if tenant else None
    policy = AccessPolicy(f"policy-{app.name}", app.client_id, demand, where)
    cleared = clear_policies(directory, resource)
    return replace(cleared, policies=(*cleared.policies, policy))


def clear_policies(directory: Directory, resource: str) -> Directory:
    """Take all conditional-access policies off *resource*."""
    app = _app(directory, resource)
    kept = tuple(p for p in directory.policies if p.resource != app.client_id)
    return replace(directory, policies=kept)


def enable_user(directory: Directory, user: str, tenant: str, *, enabled: bool = True) -> Directory:
    """Enable or disable a user."""
    wanted = _user(directory, _tenant(directory, tenant), user)
    users = tuple(replace(u, enabled=enabled) if u == wanted else u for u in directory.users)
    return replace(directory, users=users)


EDITS: Mapping[str, Callable[..., Directory]] = {
    edit.__name__: edit
    for edit in (
        revoke_consent,
        grant_consent,
        assign_role,
        remove_role,
        expire_secrets,
        remove_service_principal,
        set_policy,
        clear_policies,
        enable_user,
    )
}


def _tenant(directory: Directory, name: str) -> Tenant:
    if tenant := directory.tenant(name):
        return tenant
    raise KeyError(f"no tenant {name!r}")


def _app(directory: Directory, name: str) -> App:
    if app := directory.app(name):
        return app
    raise KeyError(f"no app {name!r}")


def _user(directory: Directory, tenant: Tenant, name: str) -> User:
    if user := directory.user(tenant.id, name):
        return user
    raise KeyError(f"no user {name!r} in {tenant.name}")


def _principal(directory: Directory, tenant: Tenant, name: str) -> str:
    app = directory.app(name)
    return app.client_id if app else _user(directory, tenant, name).id
