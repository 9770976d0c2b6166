"""What does a directory file register? Reading it, with line-precise errors."""

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Literal

from cryptography import x509

from demo.idp.directory import (
    TOKEN_EXCHANGE_AUDIENCE,
    AccessPolicy,
    App,
    Assignment,
    Consent,
    Directory,
    FederatedCredential,
    ManagedIdentity,
    Preauthorized,
    Secret,
    Tenant,
    User,
)
from demo.idp.document import Members, Value, read


def load_file(path: Path) -> Directory:
    """Read a directory file. Raises DocumentError, which names the line."""
    return load(path.read_text(encoding="utf-8"), path.name)


def load(text: str, source: str) -> Directory:
    """Read a directory from YAML or JSON. Raises DocumentError, which names the line."""
    top = read(text, source).members(
        ("apps", "users", "assignments", "consents", "policies", "managedIdentities"), ("tenants",)
    )
    directory = Directory(tenants=top.each("tenants", _tenant))
    _unique(top, "tenants", [t.id for t in directory.tenants])
    directory = replace(directory, apps=top.each("apps", lambda v: _app(v, directory)))
    _unique(top, "apps", [a.client_id for a in directory.apps])
    directory = replace(directory, users=top.each("users", lambda v: _user(v, directory)))
    apps = tuple(
        replace(app, preauthorized=trusted)
        for app, trusted in zip(
            directory.apps, top.each("apps", lambda v: _preauthorized(v, directory)), strict=True
        )
    )
    directory = replace(directory, apps=apps)
    assignments = top.each("assignments", lambda v: _assignments(v, directory))
    return replace(
        directory,
        assignments=tuple(a for several in assignments for a in several),
        consents=top.each("consents", lambda v: _consent(v, directory)),
        policies=top.each("policies", lambda v: _policy(v, directory)),
        managed_identities=top.each("managedIdentities", lambda v: _identity(v, directory)),
    )


def _tenant(value: Value) -> Tenant:
    of = value.members(("policies",), ("id", "name"))
    return Tenant(_guid(of["id"]), of["name"].text(), of.get("policies", Value.texts, ()))


_APP = (
    "tenants",
    "uris",
    "accessTokenVersion",
    "scopes",
    "roles",
    "public",
    "redirectUris",
    "secrets",
    "certificates",
    "federatedCredentials",
    "preauthorized",
    "optionalClaims",
)


def _app(value: Value, directory: Directory) -> App:
    of = value.members(_APP, ("clientId", "name", "homeTenant"))
    home = _tenant_of(of["homeTenant"], directory)
    others = of.each("tenants", lambda v: _tenant_of(v, directory))
    return App(
        client_id=_guid(of["clientId"]),
        name=of["name"].text(),
        home_tenant=home,
        tenants=tuple(dict.fromkeys((home, *others))),
        uris=of.get("uris", Value.texts, ()),
        access_token_version=of.get("accessTokenVersion", _version, 2),
        scopes=of.get("scopes", Value.texts, ()),
        roles=of.get("roles", Value.texts, ()),
        public=of.get("public", Value.flag, default=False),
        redirect_uris=of.get("redirectUris", Value.texts, ()),
        secrets=of.each("secrets", _secret),
        certificates=of.each("certificates", _certificate),
        federated_credentials=of.each("federatedCredentials", _federated),
        optional_claims=of.get("optionalClaims", Value.texts, ()),
    )


def _version(value: Value) -> Literal[1, 2]:
    match value.integer():
        case 1:
            return 1
        case 2:
            return 2
        case _:
            raise value.fail("must be 1 or 2")


def _secret(value: Value) -> Secret:
    of = value.members(("expires",), ("value",))
    expires = of["expires"].moment() if "expires" in of.found else None
    return Secret(of["value"].text(), expires)


def _certificate(value: Value) -> str:
    pem = value.text()
    try:
        x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise value.fail("is not a certificate in PEM") from None
    return pem


def _federated(value: Value) -> FederatedCredential:
    of = value.members(("audience",), ("issuer", "subject", "keys"))
    return FederatedCredential(
        issuer=of["issuer"].text(),
        subject=of["subject"].text(),
        keys=of.each("keys", lambda v: {name: member.text() for name, member in v.pairs()}),
        audience=of.get("audience", Value.text, TOKEN_EXCHANGE_AUDIENCE),
    )


def _preauthorized(value: Value, directory: Directory) -> tuple[Preauthorized, ...]:
    app = value.members(_APP, ("clientId", "name", "homeTenant"))
    resource = _app_of(app["clientId"], directory)

    def one(item: Value) -> Preauthorized:
        of = item.members((), ("client", "scopes"))
        return Preauthorized(
            _app_of(of["client"], directory).client_id, _scopes(of["scopes"], resource)
        )

    return app.each("preauthorized", one)


def _user(value: Value, directory: Directory) -> User:
    of = value.members(
        ("email", "guestFrom", "secondFactor", "enabled"),
        ("id", "tenant", "username", "password", "name"),
    )
    guest_from = of["guestFrom"] if "guestFrom" in of.found else None
    return User(
        id=_guid(of["id"]),
        tenant=_tenant_of(of["tenant"], directory),
        username=of["username"].text(),
        password=of["password"].text(),
        name=of["name"].text(),
        email=of["email"].text() if "email" in of.found else None,
        guest_from=_tenant_of(guest_from, directory) if guest_from else None,
        second_factor=of.get("secondFactor", Value.flag, default=False),
        enabled=of.get("enabled", Value.flag, default=True),
    )


def _assignments(value: Value, directory: Directory) -> tuple[Assignment, ...]:
    of = value.members(("user", "app"), ("tenant", "resource", "roles"))
    tenant = _tenant_of(of["tenant"], directory)
    resource = _app_of(of["resource"], directory)
    if ("user" in of.found) == ("app" in of.found):
        raise value.fail("give either 'user' or 'app'")
    if "app" in of.found:
        principal = _app_of(of["app"], directory).client_id
    else:
        principal = _user_of(of["user"], tenant, directory)
    for role in of["roles"].items():
        if role.text() not in resource.roles:
            raise role.fail(f"'{role.text()}' is no role of {resource.name}")
    return tuple(
        Assignment(tenant, principal, resource.client_id, role) for role in of["roles"].texts()
    )


def _consent(value: Value, directory: Directory) -> Consent:
    of = value.members(("user",), ("tenant", "client", "resource", "scopes"))
    tenant = _tenant_of(of["tenant"], directory)
    resource = _app_of(of["resource"], directory)
    return Consent(
        tenant=tenant,
        client=_app_of(of["client"], directory).client_id,
        resource=resource.client_id,
        scopes=_scopes(of["scopes"], resource),
        user=_user_of(of["user"], tenant, directory) if "user" in of.found else None,
    )


def _policy(value: Value, directory: Directory) -> AccessPolicy:
    of = value.members(("tenant",), ("id", "resource", "demand"))
    match of["demand"].text():
        case "mfa" | "block" as demand:
            pass
        case _:
            raise of["demand"].fail("must be 'mfa' or 'block'")
    return AccessPolicy(
        id=of["id"].text(),
        resource=_app_of(of["resource"], directory).client_id,
        demand=demand,
        tenant=_tenant_of(of["tenant"], directory) if "tenant" in of.found else None,
    )


def _identity(value: Value, directory: Directory) -> ManagedIdentity:
    of = value.members((), ("app", "tenant"))
    return ManagedIdentity(
        _app_of(of["app"], directory).client_id, _tenant_of(of["tenant"], directory)
    )


def _guid(value: Value) -> str:
    text = value.text()
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise value.fail(f"'{text}' is not a GUID") from None


def _tenant_of(value: Value, directory: Directory) -> str:
    if tenant := directory.tenant(value.text()):
        return tenant.id
    raise value.fail(f"no tenant has the id or name '{value.text()}'")


def _app_of(value: Value, directory: Directory) -> App:
    if app := directory.app(value.text()):
        return app
    raise value.fail(f"no app has the client id or name '{value.text()}'")


def _user_of(value: Value, tenant: str, directory: Directory) -> str:
    if user := directory.user(tenant, value.text()):
        return user.id
    raise value.fail(f"no user of this tenant has the id or name '{value.text()}'")


def _scopes(value: Value, resource: App) -> tuple[str, ...]:
    for item in value.items():
        if item.text() not in resource.scopes:
            raise item.fail(f"'{item.text()}' is no scope of {resource.name}")
    return value.texts()


def _unique(top: Members, name: str, ids: list[str]) -> None:
    for index, item in enumerate(top[name].items() if name in top.found else ()):
        if ids[index] in ids[:index]:
            raise item.fail(f"'{ids[index]}' is registered twice")
