"""What should Envoy hold, all of it, for one configuration?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from google.protobuf import any_pb2

from agent.config.attache import Attache
from agent.envoy.clusters import clusters
from agent.envoy.injection import NOTHING_PUSHED, Pushed, awaited, credentials
from agent.envoy.listeners import listeners
from agent.envoy.material import NOTHING_READ, Contents
from agent.envoy.pod import ALONE, Pod
from agent.envoy.probes import probes_routes
from agent.envoy.proto import from_agent, pack
from agent.envoy.routes import route_configurations
from agent.envoy.tls import secrets

CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
ROUTE = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"

# How a person calls each type.
KINDS: Mapping[str, str] = MappingProxyType(
    {CLUSTER: "clusters", SECRET: "secrets", LISTENER: "listeners", ROUTE: "routes"}
)


@dataclass(frozen=True, slots=True)
class Resources:
    """The resources of one type by name, each packed; `version` is a hash of the content.

    Equal content has an equal version in every process, so an agent that was restarted knows
    what Envoy already holds.
    """

    version: str
    items: Mapping[str, any_pb2.Any] = field(repr=False)

    @classmethod
    def of(cls, items: Mapping[str, any_pb2.Any]) -> Resources:
        """Give *items* their version."""
        digest = hashlib.sha256()
        ordered = {name: items[name] for name in sorted(items)}
        for name, item in ordered.items():
            for part in (name.encode(), item.type_url.encode(), item.value):
                digest.update(len(part).to_bytes(8, "big") + part)
        return cls(digest.hexdigest()[:16], MappingProxyType(ordered))

    @classmethod
    def pack(cls, messages: Iterable[Any]) -> Resources:
        """Pack messages that have a name."""
        return cls.of({message.name: pack(message) for message in messages})

    def only(self, names: Iterable[str]) -> Resources:
        """Return the part that *names* ask for; names that are not here are left out."""
        return Resources.of({name: self.items[name] for name in names if name in self.items})

    def over(self, older: Resources) -> Resources:
        """Return both, where the older ones give way to ours of the same name."""
        return Resources.of({**older.items, **self.items})

    def includes(self, other: Resources) -> bool:
        """Whether every resource of *other* is here with the same content."""
        return self.version == other.version or all(
            self.items.get(name) == item for name, item in other.items.items()
        )


NOTHING = Resources.of({})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that Envoy should hold, by type URL; `awaited` are secrets that may come later."""

    types: Mapping[str, Resources] = field(repr=False)  # a secret may be among them
    awaited: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        config: Attache,
        bundle: Path,
        pushed: Pushed = NOTHING_PUSHED,
        contents: Contents = NOTHING_READ,
        pod: Pod = ALONE,
    ) -> Snapshot:
        """Build the resources of *config*; *bundle* holds the public authorities for TLS.

        *pushed* are the credentials that Envoy injects without asking, *contents* the certificates
        and keys of TLS destinations.
        """
        source = from_agent()
        routes = [*route_configurations(config, pushed), *([probes_routes()] if pod.probes else [])]
        return cls(
            MappingProxyType(
                {
                    CLUSTER: Resources.pack(clusters(config, source, pushed, contents, pod)),
                    SECRET: Resources.pack(
                        [*secrets(config, bundle, contents), *credentials(config, pushed)]
                    ),
                    LISTENER: Resources.pack(listeners(config, None, pod)),
                    ROUTE: Resources.pack(routes),
                }
            ),
            awaited(config),
        )
