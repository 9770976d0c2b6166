"""Which faces does the TokenService show, by the configuration? Started and stopped as one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from agent.config.attache import Attache
from agent.config.destinations import Destination
from agent.config.token_service import TokenService
from agent.envoy.pool import CheckPool
from agent.judge import Judge
from agent.token_service.sidecar import Offer

log = logging.getLogger("attache.tokens")


class Face(Protocol):
    """What serves, until it is stopped."""

    def stop(self, grace: float) -> None:
        """Take no more requests; end within *grace* seconds."""


def serve(
    service: TokenService, judge: Judge, pool: CheckPool, config: Callable[[], Attache]
) -> list[Face]:
    """Start what *service* asks for; `OSError` with a sentence where an address is not to be had.

    *config* gives the configuration in force. What is not asked for is not even imported.
    """
    faces: list[Face] = []
    if service.socket is not None:
        from agent.token_service.peers import Peers
        from agent.token_service.rpc import RpcServer

        peers = Peers(service.socket, service.uids)
        faces.append(RpcServer(service.socket, peers, judge, pool))
        log.info("tokens are handed out on %s", service.socket)
    if service.http is not None:
        from agent.token_service.http import HttpServer

        try:
            faces.append(HttpServer(service.http, judge, lambda: offers(config())))
        except OSError as error:
            for face in faces:
                face.stop(0.0)
            raise OSError(
                f"tokenService.http: cannot listen on {service.http} ({error.strerror}); stop who "
                "does, or choose another port"
            ) from None
        log.info("tokens are handed out on http://%s to every process of this pod", service.http)
    return faces


def offers(config: Attache) -> dict[str, Offer]:
    """What *config* says of each destination whose token is handed out."""
    handed = config.token_service.destinations if config.token_service else ()
    return {each.name: _offer(each) for each in config.destinations if each.name in handed}


def _offer(destination: Destination) -> Offer:
    choice = destination.credential
    scopes = getattr(getattr(choice, choice.field, None), "scopes", None) or ()
    header = choice.secret_file.header if choice.secret_file else "authorization"
    return Offer(frozenset(scopes), choice.subject == "app", header)
