"""Is this caller's token revoked? A list of entries, ready to be asked on every request."""

from __future__ import annotations

from collections.abc import Iterable

from agent.identity.principal import Principal
from agent.identity.revocation.entry import SELECTORS, Entry


class Revocations:
    """Entries by their most telling selector: a look-up for each kind that occurs at all.

    Pure and frozen; asking an empty list costs one comparison.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries = tuple(entries)
        kinds: dict[str, dict[str, tuple[Entry, ...]]] = {}
        general: list[Entry] = []
        for entry in self.entries:
            name = next((name for name in SELECTORS if getattr(entry, name)), None)
            if name is None:
                general.append(entry)
            else:
                under = kinds.setdefault(name, {})
                value = fold(getattr(entry, name))
                under[value] = (*under.get(value, ()), entry)
        self._kinds = tuple(kinds.items())
        self._general = tuple(general)

    def __len__(self) -> int:
        return len(self.entries)

    def find(self, principal: Principal, now: float) -> Entry | None:
        """The entry by which the token behind *principal* is revoked at *now*, in UTC seconds."""
        if not self.entries:
            return None
        for name, by_value in self._kinds:
            for value in _VALUES[name](principal):
                for entry in by_value.get(value, ()):
                    if _matches(entry, principal, now):
                        return entry
        return next((e for e in self._general if _matches(e, principal, now)), None)


def fold(value: str) -> str:
    """GUIDs are equal in either case, and people copy them in both; all else is exact."""
    return value.lower() if len(value) == 36 else value


def _matches(entry: Entry, principal: Principal, now: float) -> bool:
    if entry.over(now):
        return False
    if entry.issued_before is not None:
        issued = principal.claims.get("iat")
        # A token that does not say when it was issued may have been issued before.
        if isinstance(issued, (int, float)) and issued >= entry.issued_before:
            return False
    for name, values in _VALUES.items():
        wanted = getattr(entry, name)
        if wanted and fold(wanted) not in values(principal):
            return False
    return True


def _claims(principal: Principal, *names: str) -> tuple[str, ...]:
    claims = principal.claims
    return tuple([fold(str(claims[name])) for name in names if name in claims])


def _token_ids(principal: Principal) -> tuple[str, ...]:
    return _claims(principal, "jti", "uti")  # Entra's access tokens have the latter


def _sessions(principal: Principal) -> tuple[str, ...]:
    return _claims(principal, "sid")


def _subjects(principal: Principal) -> tuple[str, ...]:
    # Entra's subject is the object id; whoever writes its pairwise `sub` means the same person.
    return (fold(principal.subject), *_claims(principal, "sub"))


def _clients(principal: Principal) -> tuple[str, ...]:
    return (fold(principal.client),)


def _tenants(principal: Principal) -> tuple[str, ...]:
    return (fold(principal.tenant),)


def _issuers(principal: Principal) -> tuple[str, ...]:
    """The value of `iss`, and the name that attache.yaml gives the issuer."""
    return (fold(principal.issuer), fold(principal.issuer_name))


_VALUES = {
    "token_id": _token_ids,
    "session": _sessions,
    "subject": _subjects,
    "client": _clients,
    "tenant": _tenants,
    "issuer": _issuers,
}
