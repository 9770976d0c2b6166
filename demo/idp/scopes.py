"""Which resource does a `scope` parameter ask for, and which of its permissions?"""

from dataclasses import dataclass

from demo.idp.desk import Desk
from demo.idp.directory import GRAPH, App, Tenant
from demo.idp.errors import AadError, refuse
from demo.idp.tokens import Client

OIDC = ("openid", "profile", "email", "offline_access")
DEFAULT = ".default"


@dataclass(frozen=True, slots=True)
class Ask:
    """A resource under the identifier it was asked by, and the names of its scopes."""

    resource: App
    identifier: str
    names: tuple[str, ...]
    oidc: frozenset[str]

    @property
    def default(self) -> bool:
        """Whether all that was consented to is asked for, not single scopes."""
        return DEFAULT in self.names

    def granted(self, names: tuple[str, ...]) -> str:
        """Return the `scope` of an answer, in full names."""
        if self.resource is GRAPH:
            return " ".join(names)
        shown = (*names, DEFAULT) if self.default else names
        return " ".join(f"{self.identifier}/{name}" for name in shown)


def parse(scope: str, tenant: Tenant, client: Client, desk: Desk) -> Ask | AadError:
    """Resolve *scope*. OIDC scopes alone ask for a Graph token."""
    words = scope.split()
    oidc = frozenset(word for word in words if word in OIDC)
    wanted = [word for word in words if word not in OIDC]
    if not wanted:
        names = tuple(name for name in OIDC if name in oidc and name != "offline_access")
        return Ask(GRAPH, GRAPH.uris[0], names, oidc)
    if client.app.client_id in wanted:  # B2C: the client id alone is a scope
        wanted = [f"{word}/{DEFAULT}" if word == client.app.client_id else word for word in wanted]
    # `https://host//.default` asks for the identifier `https://host/`, slash and all.
    pairs = [word.rpartition("/") for word in wanted]
    if any(not identifier or not name for identifier, _, name in pairs):
        return refuse(70011, scope=scope)
    identifier = pairs[0][0]
    if any(other != identifier for other, _, _ in pairs):
        return refuse(28000, scope=scope)
    resource = desk.directory.resource(identifier, tenant.id)
    if resource is None:
        return refuse(500011, resource=identifier, tenant=tenant.name)
    names = tuple(name for _, _, name in pairs)
    if unknown := [name for name in names if name not in (*resource.scopes, DEFAULT)]:
        return refuse(70011, scope=f"{identifier}/{unknown[0]}")
    return Ask(resource, identifier, names, oidc)
