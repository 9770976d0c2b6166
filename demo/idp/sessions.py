"""Which codes and refresh tokens are out, and which were used or revoked?"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from demo.idp.tokens import SignIn

State = Literal["unknown", "live", "used", "revoked"]


@dataclass(frozen=True, slots=True)
class Code:
    """What an authorization code was issued for. Times are UTC seconds since the epoch."""

    sign_in: SignIn
    tenant: str
    client: str
    redirect_uri: str
    scope: str
    challenge: str | None
    nonce: str | None
    issued: int


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """Whose sign-in a refresh token continues; `family` is the same along a rotation."""

    sign_in: SignIn
    tenant: str
    client: str
    scope: str
    family: str
    issued: int


class Sessions:
    """Codes and refresh tokens by their handle. Safe for many threads."""

    def __init__(self, fresh: Callable[[], str]) -> None:
        self._fresh = fresh
        self._lock = threading.Lock()
        self._codes: dict[str, Code] = {}
        self._refresh: dict[str, RefreshToken] = {}
        self._used: set[str] = set()
        self._revoked: set[str] = set()

    def keep_code(self, code: Code) -> str:
        """Keep *code* and return its handle."""
        handle = f"1.{self._fresh()}"
        with self._lock:
            self._codes[handle] = code
        return handle

    def redeem_code(self, handle: str) -> tuple[Code | None, State]:
        """Use up a code; the second time its state is "used"."""
        with self._lock:
            code = self._codes.get(handle)
            return code, self._use(handle, known=code is not None)

    def keep_refresh_token(self, token: RefreshToken) -> str:
        """Keep *token* and return its handle."""
        handle = f"1.{self._fresh()}{self._fresh()}"
        with self._lock:
            self._refresh[handle] = token
        return handle

    def redeem_refresh_token(self, handle: str) -> tuple[RefreshToken | None, State]:
        """Mark a refresh token as used; the second time its state is "used"."""
        with self._lock:
            token = self._refresh.get(handle)
            return token, self._use(handle, known=token is not None)

    def tenant_of(self, handle: str) -> str | None:
        """Return the tenant that a code or refresh token belongs to."""
        with self._lock:
            kept = self._codes.get(handle) or self._refresh.get(handle)
        return kept.tenant if kept else None

    def revoke_family(self, family: str) -> None:
        """Revoke every refresh token of one rotation."""
        self._revoke(lambda token: token.family == family)

    def revoke_user(self, user_id: str) -> None:
        """Revoke every refresh token of one user."""
        self._revoke(lambda token: token.sign_in.user.id == user_id)

    def _use(self, handle: str, *, known: bool) -> State:
        if not known:
            return "unknown"
        if handle in self._revoked:
            return "revoked"
        if handle in self._used:
            return "used"
        self._used.add(handle)
        return "live"

    def _revoke(self, applies: Callable[[RefreshToken], bool]) -> None:
        with self._lock:
            self._revoked.update(h for h, token in self._refresh.items() if applies(token))
