"""How is an introspection endpoint asked about one token (RFC 7662 §2.1)?"""

from __future__ import annotations

import base64
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote_plus

from agent.config.issuers import Introspection
from agent.identity.connection import Connection, Limits, Reply
from agent.identity.introspection.answer import Outcome, Trouble, read_answer
from agent.identity.principal import RawToken
from agent.identity.unusable import Unusable

_KEPT = 32  # idle connections
_MAX_SECRET = 64 * 1024  # bytes
_CLOSED_MEANWHILE = 1.0  # seconds within which a connection that is gone shows it


class Endpoint:
    """One endpoint, asked by many threads; each question has a connection of its own meanwhile."""

    def __init__(self, config: Introspection, limits: Limits | None = None) -> None:
        self._config = config
        self._limits = limits or Limits(total=6.0)
        self._idle: deque[Connection] = deque(maxlen=_KEPT)

    def __call__(self, token: RawToken) -> Outcome:
        """Ask about *token*; over within the limits, and never raises for what a server does."""
        config = self._config
        secret = read_secret(config.secret_file)
        if isinstance(secret, Trouble):
            return secret
        form = {"token": token, "token_type_hint": "access_token"}
        headers = {}
        if config.auth_method == "client_secret_basic":
            # RFC 6749 §2.3.1: both are form-encoded before they are joined
            pair = f"{quote_plus(config.client_id)}:{quote_plus(secret)}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        else:
            form |= {"client_id": config.client_id, "client_secret": secret}
        return read_answer(config.url, config.client_id, self._send(form, headers))

    def missing(self) -> str:
        """Why it cannot be asked at all, or an empty text."""
        secret = read_secret(self._config.secret_file)
        return secret.sentence if isinstance(secret, Trouble) else ""

    def close(self) -> None:
        """Close idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _send(self, form: Mapping[str, str], headers: Mapping[str, str]) -> Reply | Unusable:
        try:
            kept = self._idle.pop()
        except IndexError:
            kept = None
        if kept is not None:
            began = time.monotonic()
            reply = self._once(kept, form, headers)
            if isinstance(reply, Reply) or time.monotonic() - began > _CLOSED_MEANWHILE:
                return reply
            # A kept connection that the server closed meanwhile: once more, on a new one.
        return self._once(Connection(self._config.ca_file, self._limits), form, headers)

    def _once(
        self, connection: Connection, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> Reply | Unusable:
        reply = connection.send("POST", self._config.url, form, headers)
        if isinstance(reply, Reply) and not connection.is_cut and len(self._idle) < _KEPT:
            self._idle.append(connection)
        else:
            connection.close()
        return reply


def read_secret(path: Path) -> str | Trouble:
    """The client secret: the file's text without the white space around it; read every time."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_SECRET + 1)
        secret = content.decode("utf-8").strip()
    except OSError as why:
        return Trouble(
            f"the secret file {path} cannot be read ({why.strerror}). Mount it readable for this "
            "process; it is reread",
            stop=True,
        )
    except UnicodeDecodeError:
        secret = ""
    if not secret or not secret.isprintable() or len(content) > _MAX_SECRET:
        return Trouble(
            f"the secret file {path} is empty or not one line of text. Write the secret into it; "
            "it is reread",
            stop=True,
        )
    return secret
