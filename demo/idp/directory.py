"""Who and what is registered: tenants, users, applications, and what they may do."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

T = TypeVar("T")
Demand = Literal["mfa", "block"]

# Entra's first-party audience for the federated credentials of workloads.
TOKEN_EXCHANGE_AUDIENCE = "api://AzureADTokenExchange"


@dataclass(frozen=True, slots=True)
class Tenant:
    """One directory: its GUID, its domain name, and its B2C user flows, if it has any."""

    id: str
    name: str
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class User:
    """A user object in one tenant; `guest_from` is the tenant where its person is at home."""

    id: str
    tenant: str
    username: str
    password: str
    name: str
    email: str | None = None
    guest_from: str | None = None
    second_factor: bool = False
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Secret:
    """A client secret; `expires` is UTC seconds since the epoch."""

    value: str
    expires: int | None = None


@dataclass(frozen=True, slots=True)
class FederatedCredential:
    """Whose tokens stand in for a secret, and the public keys (JWK) that prove them."""

    issuer: str
    subject: str
    keys: tuple[Mapping[str, str], ...]
    audience: str = TOKEN_EXCHANGE_AUDIENCE


@dataclass(frozen=True, slots=True)
class Preauthorized:
    """A client that a resource trusts without anybody's consent."""

    client: str
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class App:
    """An app registration. `tenants` are those where its service principal is present."""

    client_id: str
    name: str
    home_tenant: str
    tenants: tuple[str, ...]
    uris: tuple[str, ...] = ()
    access_token_version: Literal[1, 2] = 2
    scopes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    public: bool = False
    redirect_uris: tuple[str, ...] = ()
    secrets: tuple[Secret, ...] = ()
    certificates: tuple[str, ...] = ()
    federated_credentials: tuple[FederatedCredential, ...] = ()
    preauthorized: tuple[Preauthorized, ...] = ()
    optional_claims: tuple[str, ...] = ()

    def answers_to(self, identifier: str) -> bool:
        """Tell whether *identifier* is this client id or one of the App-ID URIs."""
        bare = identifier.rstrip("/")
        return bare.lower() == self.client_id or bare in {uri.rstrip("/") for uri in self.uris}


@dataclass(frozen=True, slots=True)
class Assignment:
    """An app role of *resource*, given to a user (object id) or an app (client id)."""

    tenant: str
    principal: str
    resource: str
    role: str


@dataclass(frozen=True, slots=True)
class Consent:
    """Scopes of *resource* that *client* may use: for one user, or, if None, for all."""

    tenant: str
    client: str
    resource: str
    scopes: tuple[str, ...]
    user: str | None = None


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """A conditional-access policy: what tokens for *resource* demand, in one tenant or all."""

    id: str
    resource: str
    demand: Demand
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class ManagedIdentity:
    """An app whose tokens the instance metadata service hands out. The first is the default."""

    client: str
    tenant: str


# What a request for OIDC scopes alone gets a token for.
GRAPH = App(
    client_id="00000003-0000-0000-c000-000000000000",
    name="Microsoft Graph",
    home_tenant="f8cdef31-a31e-4b4a-93e4-5f571e91255a",
    tenants=(),
    uris=("https://graph.microsoft.com",),
    access_token_version=1,
    scopes=("openid", "profile", "email", "offline_access"),
)


def service_principal_id(tenant: str, client_id: str) -> str:
    """Return the object id of an app's service principal: another one in each tenant."""
    return str(uuid.uuid5(uuid.UUID(tenant), client_id))


@dataclass(frozen=True, slots=True)
class Directory:
    """Everything the provider knows. A change is a new directory."""

    tenants: tuple[Tenant, ...]
    apps: tuple[App, ...] = ()
    users: tuple[User, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    consents: tuple[Consent, ...] = ()
    policies: tuple[AccessPolicy, ...] = ()
    managed_identities: tuple[ManagedIdentity, ...] = ()

    def tenant(self, name: str) -> Tenant | None:
        """Find a tenant by GUID or domain name."""
        wanted = name.lower()
        return _first(t for t in self.tenants if wanted in (t.id, t.name.lower()))

    def app(self, name: str) -> App | None:
        """Find a registration by client id or display name."""
        return _first(a for a in self.apps if name.lower() == a.client_id or name == a.name)

    def resource(self, identifier: str, tenant: str) -> App | None:
        """Find what *identifier* (GUID or App-ID URI) names, if it is present in *tenant*."""
        return _first(a for a in self.apps if a.answers_to(identifier) and tenant in a.tenants)

    def user(self, tenant: str, name: str) -> User | None:
        """Find a user of one tenant by object id, user name or e-mail address."""
        wanted = name.lower()
        return _first(
            u
            for u in self.users
            if u.tenant == tenant
            and wanted in (u.id, u.username.lower(), (u.email or u.username).lower())
        )

    def home_of(self, username: str) -> Tenant | None:
        """Find the tenant where a person signs in who names none: home-realm discovery."""
        wanted = username.lower()
        member = _first(
            u for u in self.users if u.username.lower() == wanted and u.guest_from is None
        )
        return self.tenant(member.tenant) if member else None

    def roles(self, tenant: str, principal: str, resource: str) -> tuple[str, ...]:
        """Return the app roles that *principal* holds at *resource*, in order of assignment."""
        held = (
            a.role
            for a in self.assignments
            if (a.tenant, a.principal, a.resource) == (tenant, principal, resource)
        )
        return tuple(dict.fromkeys(held))

    def consented(self, tenant: str, client: str, resource: App, user: str) -> tuple[str, ...]:
        """Return the scopes that *client* may use at *resource* for *user*."""
        if client == resource.client_id or resource is GRAPH:
            return resource.scopes
        granted = {s for p in resource.preauthorized if p.client == client for s in p.scopes}
        for consent in self.consents:
            if (consent.tenant, consent.client, consent.resource) == (
                tenant,
                client,
                resource.client_id,
            ) and consent.user in (None, user):
                granted.update(consent.scopes)
        return tuple(scope for scope in resource.scopes if scope in granted)

    def demands(self, tenant: str, resource: str) -> tuple[AccessPolicy, ...]:
        """Return the policies on tokens for *resource*; a block comes first."""
        found = (p for p in self.policies if p.resource == resource and p.tenant in (None, tenant))
        return tuple(sorted(found, key=lambda policy: policy.demand != "block"))

    def with_app(self, app: App) -> "Directory":
        """Return this directory with *app* in the place of the one with its client id."""
        others = tuple(a for a in self.apps if a.client_id != app.client_id)
        return replace(self, apps=(*others, app))


def _first(found: Iterable[T]) -> T | None:
    return next(iter(found), None)
