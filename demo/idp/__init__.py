"""How does Entra answer? A local identity provider for the demo and the end-to-end tests."""

from demo.idp.directory import Directory
from demo.idp.faults import Fault
from demo.idp.server import IdentityProvider
from demo.idp.settings import Settings

__all__ = ["Directory", "Fault", "IdentityProvider", "Settings"]
