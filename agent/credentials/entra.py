"""How is Entra asked for tokens? The rim around msal (ENTRA.md §3).

msal's own caches are switched off: its token cache mixes sessions and grows without bound, its
throttle lets one user's 429 block the others. Ours stands in front (`agent.credentials.cache`).
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import msal
from msal.authority import WELL_KNOWN_AUTHORITY_HOSTS
from msal.exceptions import MsalError

from agent.config.identities import EntraIdentity
from agent.credentials.answers import Answer, assertion_expired
from agent.credentials.azure import Platform
from agent.credentials.proof import Proof, Unproven, prove
from agent.credentials.vouching import Vouching
from agent.credentials.wire import Call, NoAnswer, Wire

log = logging.getLogger("attache.credentials")

Flow = Literal["obo", "client", "login"]
_RESERVED = frozenset({"openid", "profile", "offline_access"})  # msal adds them and refuses them
_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}", re.ASCII)
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_MANY = frozenset({"common", "organizations", "consumers"})
_CIAM = ".ciamlogin.com"  # its issuer has the tenant id for the name (ENTRA.md §1)
_MAX_CLIENTS = 256  # about 8 KiB each (ENTRA.md §3)


class _Forgetful(dict[str, Any]):
    """msal's http cache that keeps nothing: no 429 and no 400 of one user meets another."""

    def __setitem__(self, key: str, value: Any) -> None:
        return


class _NoTokens(msal.TokenCache):  # type: ignore[misc]
    """msal's token cache that keeps nothing; msal also logs what it adds."""

    def add(self, event: dict[str, Any], now: float | None = None) -> None:
        return


@dataclass(slots=True)
class _Slot:
    """One tenant's client for one flow; built under its own lock, off everybody else's way."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    proof: bytes = b""
    client: Any = None


class EntraClient:
    """One app registration. On-Behalf-Of and client credentials never share an msal object."""

    def __init__(self, name: str, identity: EntraIdentity) -> None:
        self.name = name
        self.identity = identity
        self.authority = identity.authority.rstrip("/")
        managed = identity.managed_identity
        self._vouching = Vouching(Platform(managed.client_id or "")) if managed else None
        self._wire = Wire(identity.ca_file)
        self._lock = threading.Lock()
        self._slots: OrderedDict[tuple[Flow, str], _Slot] = OrderedDict()

    def close(self) -> None:
        """Close idle connections."""
        self._wire.close()

    def unproven(self) -> str:
        """Why we cannot prove who we are, as far as that is known without asking anybody."""
        if self._vouching:
            return self._vouching.problem
        proof = prove(self.identity)
        return proof.sentence if isinstance(proof, Unproven) else ""

    def on_behalf_of(
        self, tenant: str, assertion: str, scopes: tuple[str, ...], claims: str, seconds: float
    ) -> Answer:
        """Exchange a user's token in the user's own *tenant*, never in `common` (ENTRA.md §2)."""
        wanted = [scope for scope in scopes if scope not in _RESERVED]
        return self._ask(
            "obo",
            tenant,
            seconds,
            lambda client: client.acquire_token_on_behalf_of(
                assertion, wanted, claims_challenge=claims or None
            ),
        )

    def for_client(self, scopes: tuple[str, ...], seconds: float) -> Answer:
        """Ask for the application's own token in its home tenant."""
        return self._ask(
            "client",
            self.identity.tenant,
            seconds,
            lambda client: client.acquire_token_for_client(list(scopes)),
        )

    def by_code(
        self, tenant: str, code: str, form: dict[str, str], scopes: list[str], seconds: float
    ) -> Answer:
        """Redeem what a person's sign-in at *tenant* (or `organizations`) brought."""
        more = {name: value for name, value in form.items() if name != "redirect_uri"}
        return self._ask(
            "login",
            tenant,
            seconds,
            lambda client: client.client.obtain_token_by_authorization_code(
                code, redirect_uri=form["redirect_uri"], scope=scopes, data=more
            ),
        )

    def by_refresh_token(
        self, tenant: str, token: str, form: dict[str, str], scopes: list[str], seconds: float
    ) -> Answer:
        """Renew what that sign-in brought."""
        return self._ask(
            "login",
            tenant,
            seconds,
            lambda client: client.client.obtain_token_by_refresh_token(
                token,
                scope=scopes,
                rt_getter=lambda said: said,
                on_removing_rt=lambda _: None,
                on_updating_rt=False,
                data=form,
            ),
        )

    def _ask(self, flow: Flow, tenant: str, seconds: float, ask: Callable[[Any], object]) -> Answer:
        # What we ask of a user's token names its tenant; where a person signs in, they name theirs.
        many = tenant.lower() in _MANY and flow != "login"
        if not _TENANT.fullmatch(tenant) or many:
            return Answer(0, failure="was not asked: a token's tenant is no tenant's name")
        with self._wire.call(seconds) as call:
            proof = self._prove(call)
            answer = self._once(flow, tenant, proof, call, ask)
            renewed = self._vouching or self.identity.federated_token_file
            if renewed and isinstance(proof, Proof) and assertion_expired(answer):
                # ENTRA.md §2: a file may have been renewed meanwhile; once
                answer = self._once(flow, tenant, self._prove(call, proof.id), call, ask)
        return answer

    def _prove(self, call: Call, refused: bytes = b"") -> Proof | Unproven | Answer:
        if self._vouching:
            return self._vouching.prove(call.ends - time.monotonic(), refused)
        return prove(self.identity)

    def _once(
        self,
        flow: Flow,
        tenant: str,
        proof: Proof | Unproven | Answer,
        call: Call,
        ask: Callable[[Any], object],
    ) -> Answer:
        if isinstance(proof, Unproven):
            return Answer(0, failure=proof.sentence, ours=True)
        if isinstance(proof, Answer):
            return proof
        try:
            client = self._client(flow, tenant, proof, call)
            if isinstance(client, Answer):
                return client
            ask(client)
        except (NoAnswer, MsalError):
            pass
        except (ValueError, LookupError, TypeError, AttributeError, RuntimeError) as error:
            # msal on an answer of the wrong shape; the text may quote it, so only the type is said
            log.warning("identity '%s': msal gave up with %s", self.name, type(error).__name__)
            if call.answer.status == 200:
                return Answer(200, None)
        return call.answer

    def _client(self, flow: Flow, tenant: str, proof: Proof, call: Call) -> Any:
        slot = self._slot(flow, tenant)
        if not slot.lock.acquire(timeout=max(0.0, call.ends - time.monotonic())):
            return Answer(0, failure="does not answer in time")
        try:
            if slot.client is None or slot.proof != proof.id:
                client = self._build(tenant, proof)
                if isinstance(client, Answer):
                    return client
                slot.client, slot.proof = client, proof.id
            return slot.client
        finally:
            slot.lock.release()

    def _slot(self, flow: Flow, tenant: str) -> _Slot:
        with self._lock:
            slot = self._slots.setdefault((flow, tenant), _Slot())
            self._slots.move_to_end((flow, tenant))
            if len(self._slots) > _MAX_CLIENTS:
                self._slots.popitem(last=False)
            return slot

    def _build(self, tenant: str, proof: Proof) -> Any:
        client = msal.ConfidentialClientApplication(
            self.identity.client_id,
            client_credential=proof.credential,
            authority=f"{self.authority}/{tenant}",
            instance_discovery=False,  # else msal asks the public cloud about a sovereign one
            azure_region=False,  # else MSAL_FORCE_REGION would send our secret elsewhere
            exclude_scopes=["offline_access"],  # no refresh token: nobody here would use it
            http_client=self._wire,
            http_cache=_Forgetful(),
            token_cache=_NoTokens(),
        )
        if wrong := _elsewhere(client.authority, self.authority, tenant):
            self._wire.forget(f"{self.authority}/{tenant}/v2.0/.well-known/openid-configuration")
            return Answer(0, failure=wrong)
        return client


def _elsewhere(found: Any, authority: str, tenant: str) -> str:
    """Why discovery led to another server or tenant than the configured one; empty if it did not.

    Our secret and the user's token go to no host that the operator did not name (SECURITY.md 32).
    """
    wanted, got = urlsplit(authority), urlsplit(str(found.token_endpoint))
    clouds = wanted.hostname in WELL_KNOWN_AUTHORITY_HOSTS
    if got.netloc != wanted.netloc and not (clouds and got.hostname in WELL_KNOWN_AUTHORITY_HOSTS):
        return "names a token endpoint on another host in its discovery document"
    issuer = urlsplit(str(getattr(found, "_issuer", "") or "")).hostname or ""
    ciam = issuer.endswith(_CIAM) and (wanted.hostname or "").endswith(_CIAM)
    if (
        issuer != wanted.hostname
        and not ciam
        and not (clouds and issuer in WELL_KNOWN_AUTHORITY_HOSTS)
    ):
        return "names an issuer on another host in its discovery document"
    if _GUID.fullmatch(tenant.lower()) and found.tenant.lower() != tenant.lower():
        return "names another tenant's token endpoint in its discovery document"
    return ""
