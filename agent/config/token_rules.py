"""Does what the TokenService hands out fit the rest of the configuration?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.config.attache import Attache, Problem


def handed_out_tokens_exist(config: Attache) -> Iterator[Problem]:
    """Every name is a destination with something to hand out, and the sockets do not collide."""
    service = config.token_service
    if service is None:
        return
    destinations = {each.name: each for each in config.destinations}
    for index, name in enumerate(service.destinations):
        place = ("tokenService", "destinations", index)
        destination = destinations.get(name)
        if destination is None:
            yield place, f"destination '{name}' does not exist; add it to destinations"
        elif destination.credential.none:
            yield place, f"destination '{name}' has no credential to hand out; remove it here"
    if service.socket in (config.agent.socket, config.agent.xds_socket):
        yield (
            ("tokenService", "socket"),
            "this is a socket of Envoy's; choose another, which Envoy does not need",
        )


def destinations_can_be_asked_for(config: Attache) -> Iterator[Problem]:
    """A destination without hosts is for the TokenService only."""
    handed = config.token_service.destinations if config.token_service else ()
    for index, destination in enumerate(config.destinations):
        if not destination.hosts and destination.name not in handed:
            yield (
                ("destinations", index, "hosts"),
                "no host leads to it; write what the application calls, or hand its token out "
                "under tokenService.destinations",
            )
