"""How is any OAuth 2 token endpoint asked for our own token? (RFC 6749 §4.4)"""

from __future__ import annotations

import base64
from contextlib import suppress
from urllib.parse import quote_plus

from agent.config.identities import OAuthIdentity
from agent.credentials.answers import Answer
from agent.credentials.proof import Unproven, secret
from agent.credentials.wire import NoAnswer, Wire


class OAuthClient:
    """One client of one authorization server."""

    def __init__(self, name: str, identity: OAuthIdentity) -> None:
        self.name = name
        self.identity = identity
        self._wire = Wire(identity.ca_file)

    def close(self) -> None:
        """Close idle connections."""
        self._wire.close()

    def for_client(self, scopes: tuple[str, ...], audience: str, seconds: float) -> Answer:
        """Ask for a token by client credentials; the secret's file is read each time."""
        proof = secret(self.identity.secret_file)
        if isinstance(proof, Unproven):
            return Answer(0, failure=proof.sentence, ours=True)
        form = {"grant_type": "client_credentials"}
        if scopes:
            form["scope"] = " ".join(scopes)
        if audience:
            form["audience"] = audience
            if "://" in audience:  # RFC 8707 §2: a resource is an absolute URI
                form["resource"] = audience
        headers = {"Accept": "application/json"}
        client, known = self.identity.client_id, str(proof.credential)
        if self.identity.auth_method == "client_secret_basic":
            # RFC 6749 §2.3.1: both are form-encoded before they are joined
            pair = f"{quote_plus(client)}:{quote_plus(known)}".encode()
            headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        else:
            form |= {"client_id": client, "client_secret": known}
        with self._wire.call(seconds) as call:
            with suppress(NoAnswer):
                self._wire.post(self.identity.token_url, data=form, headers=headers)
            return call.answer
