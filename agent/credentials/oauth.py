"""How is any OAuth 2 token endpoint asked, and how does our client prove itself there?

RFC 6749 §2.3.1 and §4.4, RFC 7523 §2.2, RFC 8705 §2, RFC 8693 §2.1.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlsplit

from agent.config.identities import OAuthIdentity
from agent.credentials import assertion
from agent.credentials.answers import Answer
from agent.credentials.proof import Unproven, content_of, text_of
from agent.credentials.wire import NoAnswer, Wire
from agent.pem import wrong_pair

Form = dict[str, str]

_WORDS = {
    "private_key_jwt": "key",
    "tls_client_auth": "certificate",
    "none": "client id",
}


@dataclass(frozen=True, slots=True)
class Authentication:
    """What proves the client in one request: headers and members of the form."""

    headers: Form = field(repr=False)
    form: Form = field(repr=False)


class OAuthClient:
    """One client of one authorization server. *clock* returns UTC seconds, *new_id* a new text."""

    def __init__(
        self,
        name: str,
        identity: OAuthIdentity,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: secrets.token_urlsafe(16),
    ) -> None:
        self.name = name
        self.identity = identity
        self.authority = identity.token_url or identity.issuer or ""
        self._clock = clock
        self._new_id = new_id
        self._wire = Wire(identity.ca_file, _pair(identity))
        self._lock = threading.Lock()
        self._shown = b""  # the digest of the certificate and key that connections were made with

    @property
    def proof_word(self) -> str:
        """What the log calls our proof."""
        if self.identity.federated_token_file:
            return "federated token"
        return _WORDS.get(self.identity.method, "secret")

    @property
    def assertion_audience(self) -> str:
        """Who is to accept what we sign: as written, or the issuer, or the token URL.

        Where the issuer is known it is the better audience: a token URL that a wrong document
        names would otherwise get an assertion that serves elsewhere (draft-ietf-oauth-rfc7523bis).
        """
        return self.identity.assertion_audience or self.identity.issuer or self.authority

    def close(self) -> None:
        """Close idle connections."""
        self._wire.close()

    def unproven(self) -> str:
        """Why we cannot prove who we are at the moment; empty if we can."""
        found = self._authentication()
        return found.sentence if isinstance(found, Unproven) else ""

    def for_client(
        self, scopes: tuple[str, ...], audience: str, seconds: float, resource: str = ""
    ) -> Answer:
        """Ask for a token by client credentials."""
        form = {"grant_type": "client_credentials"}
        if scopes:
            form["scope"] = " ".join(scopes)
        if audience:
            form["audience"] = audience
            if "://" in audience:  # RFC 8707 §2: a resource is an absolute URI
                form["resource"] = audience
        if resource:
            form["resource"] = resource
        return self.ask(form, seconds)

    def ask(self, form: Form, seconds: float) -> Answer:
        """Send *form* to the token endpoint; the files of our proof are read each time."""
        proof = self._authentication()
        if isinstance(proof, Unproven):
            return Answer(0, failure=proof.sentence, ours=True)
        headers = {"Accept": "application/json"} | proof.headers
        with self._wire.call(seconds) as call:
            try:
                url = self._endpoint()
                if not url:
                    return Answer(
                        0,
                        failure="has no discovery document of its own that names a token endpoint",
                    )
                self._wire.post(url, data=form | proof.form, headers=headers)
            except NoAnswer:
                pass
            return call.answer

    def described(self, issuer: str, seconds: float) -> dict[str, Any] | None:
        """What *issuer* says of itself; None where it cannot be asked or is another one."""
        url = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
        with self._wire.call(seconds):
            try:
                found = self._wire.document(url)
            except NoAnswer:
                return None
            if found is not None and found.get("issuer") != issuer:  # SECURITY.md 32
                self._wire.forget(url)
                return None
            return found

    def ask_once(self, form: Form, seconds: float) -> Answer:
        """Send *form* at most once, on a connection of its own: what it holds is used up by that.

        A kept connection may have been closed by the server, and nobody could tell whether the
        request was read before. `Answer.sent` is False where nothing was sent for certain.
        """
        proof = self._authentication()
        if isinstance(proof, Unproven):
            return Answer(0, failure=proof.sentence, ours=True)
        ends = time.monotonic() + seconds
        with self._wire.call(seconds) as call:
            try:
                url = self._endpoint()
            except NoAnswer:
                return replace(call.answer, sent=False)
        if not url:
            told = "has no discovery document of its own that names a token endpoint"
            return Answer(0, failure=told, sent=False)
        if time.monotonic() >= ends:
            return Answer(0, failure="does not answer in time", sent=False)
        wire = Wire(self.identity.ca_file, _pair(self.identity))
        headers = {"Accept": "application/json", "Connection": "close"} | proof.headers
        try:
            with wire.call(ends - time.monotonic()) as call:
                with suppress(NoAnswer):
                    wire.post_once(url, form | proof.form, headers)
                return call.answer
        finally:
            wire.close()

    def ask_at(self, url: str, form: Form, seconds: float) -> Answer:
        """Send *form* to another endpoint of the server, such as the one for device codes."""
        proof = self._authentication()
        if isinstance(proof, Unproven):
            return Answer(0, failure=proof.sentence, ours=True)
        headers = {"Accept": "application/json"} | proof.headers
        with self._wire.call(seconds) as call:
            with suppress(NoAnswer):
                self._wire.post(url, data=form | proof.form, headers=headers)
            return call.answer

    def document(self, seconds: float) -> dict[str, Any] | Answer:
        """The issuer's discovery document; empty where the identity names no issuer."""
        if not self.identity.issuer:
            return {}
        with self._wire.call(seconds) as call:
            try:
                return self._document() or {}
            except NoAnswer:
                return call.answer

    def _authentication(self) -> Authentication | Unproven:
        identity = self.identity
        client = {"client_id": identity.client_id} if identity.client_id else {}
        match identity.method:
            case "client_secret_basic" | "client_secret_post" as method:
                assert identity.secret_file is not None
                password = text_of(identity.secret_file)
                if isinstance(password, Unproven):
                    return password
                if method == "client_secret_post":
                    return Authentication({}, client | {"client_secret": password})
                # RFC 6749 §2.3.1: both are form-encoded before they are joined
                pair = f"{quote_plus(identity.client_id)}:{quote_plus(password)}".encode()
                basic = "Basic " + base64.b64encode(pair).decode()
                return Authentication({"Authorization": basic}, {})
            case "private_key_jwt":
                signed = self._assertion()
                if isinstance(signed, Unproven):
                    return signed
                made = {"client_assertion_type": assertion.TYPE, "client_assertion": signed}
                # RFC 7521 §4.2: client_id may be said beside it; some servers need it to look up
                return Authentication({}, client | made)
            case "tls_client_auth":
                if unproven := self._certificate():
                    return unproven
                return Authentication({}, client)  # RFC 8705 §2: client_id is required
        return Authentication({}, client)

    def _certificate(self) -> Unproven | None:
        """Why no certificate can be shown; a new one is shown with the next request.

        A connection shows the certificate that it was made with, so kept ones are closed.
        """
        assert self.identity.certificate_file is not None
        assert self.identity.key_file is not None
        contents = []
        for path in (self.identity.certificate_file, self.identity.key_file):
            content = content_of(path)
            if isinstance(content, Unproven):
                return content
            contents.append(content)
        if wrong := wrong_pair(*contents):
            return Unproven(
                f"identity '{self.name}': {self.identity.certificate_file} and "
                f"{self.identity.key_file}: {wrong}. Write both; they are reread each time."
            )
        digest = hashlib.sha256(b"\0".join(contents)).digest()
        with self._lock:
            shown, self._shown = self._shown, digest
        if shown not in (b"", digest):
            self._wire.close()
        return None

    def _assertion(self) -> str | Unproven:
        identity = self.identity
        if identity.federated_token_file:
            return text_of(identity.federated_token_file, "token")
        assert identity.key_file is not None
        key = assertion.load(identity.key_file, identity.algorithm)
        if isinstance(key, Unproven):
            return key
        return assertion.assertion(
            key,
            identity.client_id,
            self.assertion_audience,
            self._clock(),
            self._new_id(),
            identity.key_id,
        )

    def _endpoint(self) -> str:
        """The token endpoint: written, or named by the issuer's document; empty if it names none.

        OpenID Connect Discovery §4 and RFC 8414 §3 put the document in different places.
        """
        if self.identity.token_url:
            return self.identity.token_url
        found = self._document() or {}
        aliases = found.get("mtls_endpoint_aliases")
        if self.identity.method == "tls_client_auth" and isinstance(aliases, dict):
            found = found | aliases  # RFC 8705 §5
        endpoint = found.get("token_endpoint")
        return endpoint if isinstance(endpoint, str) else ""

    def _document(self) -> dict[str, Any] | None:
        """The issuer's own document, from either place."""
        issuer = self.identity.issuer or ""
        parts = urlsplit(issuer)
        path = parts.path.rstrip("/")
        for url in (
            f"{issuer.rstrip('/')}/.well-known/openid-configuration",
            f"{parts.scheme}://{parts.netloc}/.well-known/oauth-authorization-server{path}",
        ):
            found = self._wire.document(url)
            if found is not None and found.get("issuer") == issuer:  # SECURITY.md 32
                return found
            self._wire.forget(url)
        return None


def _pair(identity: OAuthIdentity) -> tuple[Path, Path] | None:
    """The certificate and key that are shown over TLS."""
    if identity.certificate_file is None or identity.key_file is None:
        return None
    return identity.certificate_file, identity.key_file
