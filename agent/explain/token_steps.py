"""What is told of the token: from its form to whom it makes of its holder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.errors import Denial
from agent.explain.standin import AssumedKey
from agent.explain.steps import Mark, shown
from agent.explain.telling import Telling
from agent.explain.words import about, moment, named, said, written
from agent.identity.bearer import one_bearer
from agent.identity.introspection.answer import Active
from agent.identity.issuers.entry import Entry
from agent.identity.jose import Parsed
from agent.identity.principal import Principal, Verified
from agent.identity.refresh import Source


class TokenTelling(Telling):
    """Tells the steps of the verification by what its stages found."""

    def tell_token(self) -> None:
        """Add the steps from the token's form to who is calling."""
        if "asked" in self.found.found:
            self._introspected()
            return
        self._token()
        self._issuer()
        self._signature()
        self._times()
        self._audience()
        self._caller()

    def _introspected(self) -> None:
        """A token that was explained by its server: what that says is judged as a whole."""
        entry = next(each for each in self.trial.config.issuers if each.introspection)
        assert entry.introspection is not None
        self.add("token", Mark.PASSED, "One bearer token, which its server explains.")
        self.add("issuer", Mark.PASSED, f"Issuer '{entry.name}' (introspection) is asked.")
        answer = self.found.found["asked"]
        claims = answer.claims if isinstance(answer, Active) else {}
        names = ("iss", "aud", "exp", "sub", "client_id", "scope")
        stage = ("verified",)
        where = f"{entry.introspection.url} says that it is active, and our rules agree."
        self.stage("introspection", stage, lambda: (where, ()), lambda: said(claims, *names))

        def passed() -> tuple[str, tuple[str, ...]]:
            found = self.found.found["verified"]
            assert isinstance(found, Verified)
            return f"The caller is {named(found.principal)}.", about(found.principal)

        self.stage("caller", stage, passed)

    def _token(self) -> None:
        token = one_bearer(self.request.headers.get("authorization"))
        if isinstance(token, Denial):
            self.denied("token", token)
            return

        def passed() -> tuple[str, tuple[str, ...]]:
            parsed = self._parsed()
            if parsed is None:
                return "There is exactly one bearer token.", ()
            header = parsed.header
            kid = f", key id {shown(header.kid)}" if header.kid is not None else ", no key id"
            typ = f", type {shown(header.typ)}" if header.typ is not None else ""
            return f"One well-formed JWT: algorithm {shown(header.alg)}{kid}{typ}.", ()

        self.stage("token", ("token",), passed)

    def _parsed(self) -> Parsed | None:
        found = self.found.found.get("token")
        return found if isinstance(found, Parsed) else None

    def _claims(self) -> Mapping[str, Any]:
        parsed = self._parsed()
        return parsed.claims if parsed else {}

    def _entry(self) -> Entry | None:
        found = self.found.found.get("issuer")
        return found[0] if isinstance(found, tuple) else None

    def _issuer(self) -> None:
        claims = self._claims()
        claimed = said(claims, "iss", "tid", "ver", "tfp")

        def passed() -> tuple[str, tuple[str, ...]]:
            entry = self._entry()
            assert entry is not None
            return f"Issuer '{entry.name}' ({entry.kind}) takes it.", claimed

        def more() -> tuple[str, ...]:
            names = ", ".join(f"'{issuer.name}'" for issuer in self.trial.config.issuers)
            hint: tuple[str, ...] = ()
            if any(issuer.entra or issuer.b2c for issuer in self.trial.config.issuers):
                hint = ("offline, issuers' names are those that are usual; --online asks",)
            return (*claimed, f"configured are {names or 'none'}", *hint)

        self.stage("issuer", ("issuer",), passed, more)

    def _signature(self) -> None:
        found = self.found.found.get("key")
        key = found[1] if isinstance(found, tuple) else None
        if isinstance(key, AssumedKey) and not self.found.denied("signature") and not self.over:
            where = self._keys_of()
            self.add(
                "signature",
                Mark.UNCHECKED,
                f"Not checked (offline): the keys are at {where}.",
                ("give them with --jwks FILE, or fetch them with --online",),
            )
            return
        self.stage(
            "signature",
            ("key", "signature"),
            lambda: (f"Signed by key {shown(key.kid) if key else '?'} of this issuer.", ()),
            lambda: tuple(shown(sentence) for sentence in self.trial.missing),
        )

    def _keys_of(self) -> str:
        found = self.found.found.get("issuer")
        source = found[1] if isinstance(found, tuple) else None
        return source.document.source if isinstance(source, Source) else "the issuer's"

    def _times(self) -> None:
        claims, now = self._claims(), self.trial.now
        said = tuple(
            f"{name}: {moment(claims[name], now)}"
            for name in ("nbf", "iat", "exp")
            if name in claims
        )
        at = f"The token is in time at {written(now)}"
        skew = f"{self.trial.config.agent.clock_skew:g} s of tolerance"
        self.stage("time", ("window", "time"), lambda: (f"{at} ({skew}).", said), lambda: said)

    def _audience(self) -> None:
        def passed() -> tuple[str, tuple[str, ...]]:
            return "The token is meant for us.", said(self._claims(), "aud")

        def more() -> tuple[str, ...]:
            entry = self._entry()
            ours = shown(sorted(entry.audiences)) if entry else ""
            return (*said(self._claims(), "aud"), f"accepted: {ours}")

        self.stage("audience", ("audience",), passed, more)

    def _caller(self) -> None:
        def passed() -> tuple[str, tuple[str, ...]]:
            found = self.found.found["principal"]
            assert isinstance(found, Principal)
            return f"The caller is {named(found)}.", about(found)

        claimed = said(self._claims(), "oid", "sub", "idtyp", "scp", "azp", "appid", "client_id")
        self.stage("caller", ("principal",), passed, lambda: claimed)
