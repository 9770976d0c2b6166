"""May a script of this origin ask, and read the answer (Fetch Standard, CORS; SECURITY.md 23)?"""

from __future__ import annotations

from agent.config.cors import Cors

Headers = tuple[tuple[str, str], ...]

# What a script needs in order to act on a denial: the challenge, what to tell us, when to return.
_ALWAYS_EXPOSED = ("www-authenticate", "x-correlation-id", "retry-after")


class Sharing:
    """The compiled choice of one route: with whom its answers are shared. None: with nobody."""

    def __init__(self, rules: Cors | None) -> None:
        self._vary: Headers = (("vary", "origin"),) if rules else ()
        self._answers: dict[str, Headers] = {}
        self._preflights: dict[str, Headers] = {}
        self._methods: frozenset[str] = frozenset()
        if rules is None:
            return
        self._methods = frozenset(rules.allow_methods)
        credentials = (
            (("access-control-allow-credentials", "true"),) if rules.allow_credentials else ()
        )
        exposed = ", ".join(
            dict.fromkeys((*_ALWAYS_EXPOSED, *map(str.lower, rules.expose_headers)))
        )
        for origin in rules.allow_origins:
            common = (("access-control-allow-origin", origin), *credentials, *self._vary)
            self._answers[origin] = (*common, ("access-control-expose-headers", exposed))
            self._preflights[origin] = (
                *common,
                ("access-control-allow-methods", ", ".join(rules.allow_methods)),
                ("access-control-allow-headers", ", ".join(rules.allow_headers)),
                ("access-control-max-age", f"{rules.max_age:.0f}"),
            )

    def answer(self, origin: str) -> Headers:
        """What every answer carries, allowed or denied: a cache must not mix up two origins."""
        return self._answers.get(origin, self._vary)

    def preflight(self, origin: str, method: str) -> Headers | None:
        """What the answer to a preflight carries; None where it is not granted."""
        return self._preflights.get(origin) if method in self._methods else None


NOBODY = Sharing(None)
