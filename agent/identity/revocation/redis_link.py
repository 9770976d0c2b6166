"""How is Redis reached? One client, strict about TLS, that fails at once instead of retrying."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.credentials import CredentialProvider
from redis.retry import Retry

from agent.config.redis import RedisServer
from agent.config.revocation import RedisList

log = logging.getLogger(__name__)

SECONDS = 1.0  # for connecting, and between two bytes: a look has to end well within 2 s


class Unreachable(Exception):
    """Redis gave no answer, or one that cannot be used; the text is a sentence with a remedy."""


class _Password(CredentialProvider):
    """Reads the password at each connection: a rotated one needs no restart."""

    def __init__(self, username: str | None, file: Path) -> None:
        self._username = username
        self._file = file

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        try:
            password = self._file.read_text("utf-8").strip()
        except (OSError, ValueError):
            raise Unreachable(
                f"the password file {self._file} cannot be read; mount it, or correct its path"
            ) from None
        return (self._username, password) if self._username else (password,)


def client_of(
    config: RedisServer, connected: Callable[[], None], connections: int = 1
) -> redis.Redis:
    """Return a client of so many connections; *connected* is called for each that is made."""

    def on_connect(connection: Any) -> None:
        connection.on_connect()
        connected()

    options: dict[str, Any] = {"redis_connect_func": on_connect}
    if config.password_file is not None:
        options["credential_provider"] = _Password(config.username, config.password_file)
    if config.tls:
        options |= {
            "ssl": True,
            "ssl_ca_certs": str(config.ca_file) if config.ca_file else None,
            "ssl_check_hostname": True,
            "ssl_min_version": ssl.TLSVersion.TLSv1_2,
        }
    return redis.Redis(
        host=config.address.host,
        port=config.address.port,
        db=config.database,
        socket_connect_timeout=SECONDS,
        socket_timeout=SECONDS,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        single_connection_client=False,
        max_connections=connections,
        protocol=2,  # what every Redis-like server speaks
        **options,
    )


def sentence(error: Exception, config: RedisList) -> str:
    """What went wrong and what to do, without a secret."""
    where = f"Redis at {config.address}"
    if isinstance(error, Unreachable):
        return str(error)
    if isinstance(error, (redis.AuthenticationError, redis.exceptions.AuthorizationError)):
        return f"{where} refused the login; check username and passwordFile"
    if isinstance(error, redis.exceptions.NoPermissionError):
        return (
            f"{where} forbids the command; allow GET, HLEN, HGETALL, MULTI and EXEC on "
            f"{config.key}*, and HSET, HDEL and INCR to whoever writes"
        )
    if isinstance(error, redis.exceptions.BusyLoadingError):
        return f"{where} is loading its data; wait"
    if isinstance(error, redis.TimeoutError):
        return f"{where} did not answer within {SECONDS:g} s; look whether it is overloaded"
    if isinstance(error, redis.ConnectionError):
        why = " ".join(str(error).split())[:200]
        return f"{where} cannot be reached ({why}); start it, or correct revocation.redis"
    if isinstance(error, redis.ResponseError):
        why = " ".join(str(error).split())[:200]
        return f"{where} answered '{why}'; {config.key} must be a hash"
    return f"{where} gave an answer that cannot be read ({type(error).__name__})"
