"""What does a grant work with? The request, and the state of the world it is judged by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from demo.idp.directory import Directory, Tenant
from demo.idp.errors import AadError, refuse
from demo.idp.keys import KeyRing
from demo.idp.sessions import Sessions
from demo.idp.settings import Names


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One POST to a token endpoint: the URL's tenant, the form, and HTTP Basic if sent."""

    authority: str
    form: Mapping[str, str]
    basic: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Desk:
    """The world at one moment. `now` is UTC seconds; `fresh` returns an unguessable id."""

    directory: Directory
    ring: KeyRing
    names: Names
    sessions: Sessions
    now: int
    fresh: Callable[[], str]

    def tenant_at(self, authority: str) -> Tenant | AadError:
        """Return the tenant a URL names; an alias names none."""
        if authority.lower() in ("common", "organizations", "consumers"):
            return refuse(50059)
        return self.directory.tenant(authority) or refuse(90002, tenant=authority)
