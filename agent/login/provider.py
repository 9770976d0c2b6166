"""Where does a person sign in and out, and how are codes and refresh tokens redeemed there?"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from agent.config.attache import Attache
from agent.config.login import Login
from agent.config.login_rules import issuer_of, written
from agent.credentials.answers import Answer
from agent.credentials.entra import EntraClient
from agent.credentials.exchange import token_of
from agent.credentials.kinds import Client
from agent.credentials.oauth import OAuthClient
from agent.errors import Denial, Reason
from agent.identity.issuers.document import insecure
from agent.login.cookies import PREFIX
from agent.login.flow import Flow

log = logging.getLogger("attache.login")

_ADDED = ("openid", "profile", "offline_access")
# ENTRA.md §2: who does not say that it understands claims challenges is never sent one.
_CAPABLE = json.dumps({"access_token": {"xms_cc": {"values": ["cp1"]}}}, separators=(",", ":"))
_MANY = frozenset({"organizations", "common"})
_MAX_TOKEN = 32 * 1024
_KNOWN = 3600.0  # seconds that a provider's endpoints are remembered
# RFC 6749 §5.2, OpenID Connect Core §3.1.2.6: what only a new sign-in mends
_OVER = frozenset(
    {"invalid_grant", "interaction_required", "login_required", "consent_required", "access_denied"}
)


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where browsers are sent; `issuer` is what an answer's `iss` must say, if it says any.

    `scopes` are those that the provider says it knows; empty where it does not say.
    """

    authorization: str
    end_session: str = ""
    issuer: str = ""
    scopes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a sign-in or its renewal brought. Times are UTC seconds."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)
    id_token: str = field(repr=False)
    expires_at: float


class Provider(ABC):
    """One login of the configuration: our client, its scopes, and who signs people in."""

    def __init__(self, login: Login, name: str, issuer_name: str, client: Client) -> None:
        self.login = login
        self.name = name
        self.cookie = f"{PREFIX}{name}"
        self.issuer_name = issuer_name
        self._client = client
        self.scopes = tuple(dict.fromkeys((*_ADDED, *login.scopes)))
        self._found: tuple[float, Endpoints] | None = None

    @property
    def client_id(self) -> str:
        """What we are called there."""
        return self._client.identity.client_id

    @property
    def claims(self) -> str:
        """What every sign-in asks for, as a claims request; empty for nothing."""
        return ""

    @property
    def further(self) -> dict[str, str]:
        """What else an authorization request says."""
        return {**self.login.parameters, **self._resource}

    def scopes_at(self, endpoints: Endpoints) -> str:
        """What is asked for; of what we add, only what the provider knows: some refuse the rest."""
        unknown = set(_ADDED) - endpoints.scopes - {"openid"} if endpoints.scopes else set()
        unknown -= set(self.login.scopes)
        return " ".join(scope for scope in self.scopes if scope not in unknown)

    @property
    def _resource(self) -> dict[str, str]:
        return {"resource": self.login.resource} if self.login.resource else {}

    @property
    def known(self) -> Endpoints | None:
        """The endpoints, if nobody has to be asked."""
        if self._found is None or time.monotonic() > self._found[0]:
            return None
        return self._found[1]

    def endpoints(self, seconds: float) -> Endpoints | Denial:
        """Where browsers are sent; asks the provider's metadata where that is not known."""
        found = self._endpoints(seconds)
        if isinstance(found, Endpoints):
            self._found = (time.monotonic() + _KNOWN, found)
        return found

    def redeem(self, code: str, flow: Flow, seconds: float) -> Tokens | Denial:
        """Give an authorization code for tokens (RFC 6749 §4.1.3)."""
        form = {"redirect_uri": flow.redirect_uri, "code_verifier": flow.verifier}
        now = time.time()
        return self._tokens(self._redeem(code, form, flow.claims, seconds), now)

    def renew(self, refresh: str, claims: str, seconds: float) -> Tokens | Denial:
        """Give a refresh token for new tokens (RFC 6749 §6)."""
        now = time.time()
        return self._tokens(self._renew(refresh, claims, seconds), now)

    def goodbye(self, endpoints: Endpoints, id_token: str, back: str) -> str:
        """Where a browser signs out of the provider (RP-Initiated Logout 1.0 §2)."""
        if not endpoints.end_session:
            return back
        asked = {"client_id": self.client_id, "post_logout_redirect_uri": back}
        if id_token:
            asked["id_token_hint"] = id_token
        joint = "&" if "?" in endpoints.end_session else "?"
        return f"{endpoints.end_session}{joint}{urlencode(asked)}"

    def _tokens(self, answer: Answer, now: float) -> Tokens | Denial:
        token = token_of(answer, now, 0.0)
        if token is None:
            return self._refused(answer)
        body: Mapping[str, Any] = answer.body or {}
        refresh, id_token = body.get("refresh_token", ""), body.get("id_token", "")
        return Tokens(token.value, _text(refresh), _text(id_token), token.expires_at)

    def _refused(self, answer: Answer) -> Denial:
        said = answer.body.get("error") if answer.body else None
        error = said if isinstance(said, str) and said.isascii() and len(said) < 64 else ""
        if error in _OVER and answer.status < 500:
            claims = (answer.body or {}).get("claims")
            log.info("login '%s': the provider wants a new sign-in (%s)", self.name, error)
            return Denial(
                Reason.INTERACTION_REQUIRED,
                "The session has ended at the identity provider; sign in again.",
                claims=claims if isinstance(claims, str) and _is_claims(claims) else None,
            )
        if answer.ours or error in ("invalid_client", "unauthorized_client"):
            log.error(
                "login '%s': identity '%s' cannot prove itself: %s",
                self.name, self.login.identity, answer.failure or error,
            )  # fmt: skip
            return Denial(Reason.CREDENTIAL_ERROR, "This gateway cannot prove itself; try later.")
        what = error or answer.failure or f"answered with status {answer.status}, without tokens"
        log.warning("login '%s': the identity provider's answer: %s", self.name, what)
        return Denial(
            Reason.ISSUER_UNAVAILABLE,
            "The identity provider does not answer as it should; try again.",
            retry_after=answer.retry_after or 2,
        )

    @abstractmethod
    def _endpoints(self, seconds: float) -> Endpoints | Denial:
        """Where the provider is reached, or why that is not known."""

    @abstractmethod
    def _redeem(self, code: str, form: dict[str, str], claims: str, seconds: float) -> Answer:
        """What it answers to a *code*."""

    @abstractmethod
    def _renew(self, refresh: str, claims: str, seconds: float) -> Answer:
        """What it answers to a refresh token."""


class EntraProvider(Provider):
    """Entra ID: its endpoints are where they are everywhere (ENTRA.md §1)."""

    def __init__(
        self, login: Login, name: str, issuer_name: str, client: EntraClient, tenant: str
    ) -> None:
        super().__init__(login, name, issuer_name, client)
        self._entra = client
        self._tenant = tenant
        base = f"{client.authority}/{tenant}/oauth2/v2.0"
        self._found = (float("inf"), Endpoints(f"{base}/authorize", f"{base}/logout"))

    @property
    def claims(self) -> str:
        """That we understand claims challenges."""
        return _CAPABLE

    def _endpoints(self, seconds: float) -> Endpoints | Denial:
        assert self._found is not None
        return self._found[1]

    def _redeem(self, code: str, form: dict[str, str], claims: str, seconds: float) -> Answer:
        form |= {"claims": claims} if claims else {}
        return self._entra.by_code(self._tenant, code, form, list(self.scopes), seconds)

    def _renew(self, refresh: str, claims: str, seconds: float) -> Answer:
        form = {"claims": claims} if claims else {}
        return self._entra.by_refresh_token(self._tenant, refresh, form, list(self.scopes), seconds)


class OidcProvider(Provider):
    """Any OpenID Connect provider, as its discovery document describes it."""

    def __init__(
        self, login: Login, name: str, issuer_name: str, client: OAuthClient, issuer: str
    ) -> None:
        super().__init__(login, name, issuer_name, client)
        self._oauth = client
        self._issuer = issuer

    def _endpoints(self, seconds: float) -> Endpoints | Denial:
        described = self._oauth.described(self._issuer, seconds) or {}
        authorization = described.get("authorization_endpoint")
        end_session = described.get("end_session_endpoint", "")
        for url in (authorization, end_session):
            if not isinstance(url, str) or (url and insecure(url)):
                authorization = None
        if not authorization:
            log.warning("login '%s': %s names no authorization endpoint", self.name, self._issuer)
            return Denial(
                Reason.ISSUER_UNAVAILABLE,
                "The identity provider does not answer; try again.",
                retry_after=2,
            )
        listed = described.get("scopes_supported")
        known = (
            [each for each in listed if isinstance(each, str)] if isinstance(listed, list) else []
        )
        return Endpoints(authorization, end_session, self._issuer, frozenset(known))

    def _redeem(self, code: str, form: dict[str, str], claims: str, seconds: float) -> Answer:
        form |= {"grant_type": "authorization_code", "code": code} | self._resource
        return self._oauth.ask(form, seconds)

    def _renew(self, refresh: str, claims: str, seconds: float) -> Answer:
        form = {"grant_type": "refresh_token", "refresh_token": refresh} | self._resource
        return self._oauth.ask(form, seconds)


def providers(config: Attache, clients: Mapping[str, Client]) -> dict[Login, Provider]:
    """Every login of *config*; *clients* by the identities' names."""
    found: dict[Login, Provider] = {}
    logins = list(dict.fromkeys(login for _, login in written(config)))
    identities = {identity.name: identity for identity in config.identities}
    for login in logins:
        issuer = issuer_of(config, login, identities[login.identity])
        client = clients[login.identity]
        name = login.identity
        if sum(other.identity == name for other in logins) > 1:  # each has a session of its own
            name += "-" + hashlib.sha256(login.model_dump_json().encode()).hexdigest()[:6]
        assert issuer is not None  # agent.config.login_rules
        if isinstance(client, EntraClient) and issuer.entra:
            tenants = issuer.entra.tenants
            usual = tenants[0] if len(tenants) == 1 else "organizations"
            said = client.identity.tenant.lower()
            tenant = login.tenant or (said if said in _MANY else usual)
            found[login] = EntraProvider(login, name, issuer.name, client, tenant)
        elif isinstance(client, OAuthClient) and issuer.oidc:
            found[login] = OidcProvider(login, name, issuer.name, client, issuer.oidc.issuer)
        else:
            raise ValueError(f"nobody can sign in with identity '{login.identity}'")
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) and len(value) <= _MAX_TOKEN else ""


def _is_claims(text: str) -> bool:
    try:
        return len(text) <= 4096 and isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
