"""Who asks for what? A token request whose tenant and client are known."""

from collections.abc import Mapping
from dataclasses import dataclass

from demo.idp.demands import ClaimsRequest
from demo.idp.desk import Desk
from demo.idp.directory import Tenant
from demo.idp.tokens import Client


@dataclass(frozen=True, slots=True)
class Call:
    """A request of an authenticated client; the form has all its grant requires."""

    form: Mapping[str, str]
    asked: ClaimsRequest
    tenant: Tenant
    client: Client
    desk: Desk
