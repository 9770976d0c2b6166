"""How is Entra asked for tokens? By msal (ENTRA.md §3), in each flow and tenant apart.

msal is brought up where an identity is Entra's (`agent.credentials.msal_application`), and nowhere
else.
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
_MANY = frozenset({"common", "organizations", "consumers"})
_MAX_CLIENTS = 256  # about 8 KiB each (ENTRA.md §3)


@dataclass(slots=True)
class _Slot:
    """One tenant's client for one flow; built under its own lock, off everybody else's way."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    proof: bytes = b""
    client: Any = None


class EntraClient:
    """One app registration. On-Behalf-Of and client credentials never share an msal object."""

    def __init__(self, name: str, identity: EntraIdentity) -> None:
        # msal takes 3 MB, which only those pay who use it; it is here before a request needs it.
        from agent.credentials import msal_application

        self._library = msal_application
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
        except (NoAnswer, self._library.MsalError):
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
        client = self._library.application(
            self.identity.client_id, proof.credential, self.authority, tenant, self._wire
        )
        if isinstance(client, str):
            self._wire.forget(f"{self.authority}/{tenant}/v2.0/.well-known/openid-configuration")
            return Answer(0, failure=client)
        return client
