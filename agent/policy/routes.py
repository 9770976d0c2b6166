"""Which rule is a request under? The first whose path, method and host match, or none."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address

from agent.config.cors import Cors
from agent.config.login import Login
from agent.config.requirements import Requirement
from agent.config.routes import Route, template
from agent.errors import Denial, Reason
from agent.policy.cors import NOBODY, Sharing
from agent.policy.path import CanonicalPath, canonical
from agent.policy.requirement import Check, needed

# RFC 9110 §9 and RFC 5789; CONNECT and TRACE only where a route lists them.
KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_HOST = re.compile(r"(?:\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9._-]*[a-z0-9])?\.?)(?::\d{1,5})?", re.ASCII)
MAX_HOST = 261  # RFC 1035 §2.3.4: a name has 255 octets at most; then a colon and the port
MATCH_ANYTHING = Requirement()
_FOUND = 2048  # requests whose rule is remembered
_SHORT = 512  # characters of one; longer ones are matched each time


@dataclass(frozen=True, slots=True)
class Rule:
    """One compiled route. `segments` holds literals, or `None` for `{name}`."""

    pattern: str
    segments: tuple[str | None, ...]
    folded: tuple[str | None, ...]
    open_ended: bool
    methods: frozenset[str]
    hosts: frozenset[str]
    anonymous: bool
    requirement: Requirement
    checks: tuple[Check, ...]
    cors: Sharing
    login: Login | None = None

    def matches(self, segments: tuple[str, ...], template: tuple[str | None, ...]) -> bool:
        """Whether *segments* fit *template*, which is this rule's own or its folded one."""
        if len(segments) != len(template) and not (
            self.open_ended and len(segments) > len(template)
        ):
            return False
        return all(
            want is None or want == got for want, got in zip(template, segments, strict=False)
        )


class Routes:
    """The compiled routes of one configuration, in their order."""

    def __init__(
        self, routes: Iterable[Route], cors: Cors | None = None, login: Login | None = None
    ) -> None:
        self.cors = Sharing(cors)
        """For answers to what no route allows, and of routes that do not say themselves."""
        self._rules = tuple(compiled(route, self.cors, login) for route in routes)
        self._found: dict[tuple[str, str, str], tuple[CanonicalPath, Rule]] = {}

    def find(
        self, method: str, host: str, target: str
    ) -> tuple[CanonicalPath, Rule | Denial] | Denial:
        """`canonical`, then `match`; what was found for the same words before is not sought again.

        The query, which may hold secrets, is not among them.
        """
        asked = method, host, target.partition("?")[0]
        found = self._found.get(asked)
        if found is not None:
            return found
        path = canonical(target)
        if isinstance(path, Denial):
            return path
        rule = self.match(method, host, path)
        if isinstance(rule, Denial):
            return path, rule
        if len(method) + len(host) + len(target) <= _SHORT:
            if len(self._found) >= _FOUND:
                self._found.clear()  # cheaper than an order of use, and as bounded
            self._found[asked] = (path, rule)
        return path, rule

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules, in the order in which they are asked."""
        return self._rules

    def match(self, method: str, host: str, path: CanonicalPath) -> Rule | Denial:
        """Return the first rule that fits, or why none does. The query never takes part.

        A path that differs from a rule's only in the case of its letters is refused: an
        application that ignores case would serve it under a rule that was never asked.
        """
        name = host_name(host)
        if isinstance(name, Denial):
            return name
        folded = tuple(fold(segment) for segment in path.segments)
        for rule in self._rules:
            if rule.methods and method not in rule.methods:
                continue
            if not rule.methods and method not in KNOWN_METHODS:
                continue
            if rule.hosts and name not in rule.hosts:
                continue
            if rule.matches(folded, rule.folded):
                if rule.matches(path.segments, rule.segments):
                    return rule
                return Denial(Reason.BAD_PATH, "the path differs from a route only in case or dots")
        return Denial(Reason.NO_ROUTE, "no route allows this method and path")


def why_not(rule: Rule, method: str, name: str, path: CanonicalPath) -> str:
    """For a person: why `Routes.match` goes past *rule*, empty where it stops there."""
    folded = tuple(fold(segment) for segment in path.segments)
    if not rule.matches(folded, rule.folded):
        return "another path"
    if rule.methods and method not in rule.methods:
        return f"it is for {', '.join(sorted(rule.methods))}, not for {method}"
    if not rule.methods and method not in KNOWN_METHODS:
        return f"{method} must be listed by a route to be allowed"
    if rule.hosts and name not in rule.hosts:
        return f"it is for host {', '.join(sorted(rule.hosts))}, not for {name}"
    return ""


def host_name(host: str) -> str | Denial:
    """The host without its port, in lower case; a list of hosts is nobody's (ENVOY.md).

    The port is the caller's free choice: a rule that asked for it could be walked around by
    another one. So a rule holds for its host on whatever port.
    """
    lowered = host.lower()
    if len(host) > MAX_HOST or not _HOST.fullmatch(lowered):
        return Denial(Reason.NO_ROUTE, "the Host header is not one host", status=400)
    if not lowered.startswith("["):
        return lowered.partition(":")[0].rstrip(".")
    try:  # RFC 4291 §2.2: one address has many spellings
        return f"[{IPv6Address(lowered[1 : lowered.index(']')])}]"
    except ValueError:
        return Denial(Reason.NO_ROUTE, "the Host header is not an address", status=400)


def fold(segment: str) -> str:
    """*segment* as one may read it who ignores case, in the widest sense, and what is around it.

    Full-width letters, the long s, the Kelvin sign and the i's without and with a dot of Turkish
    all equal an ASCII letter to somebody's comparison. Windows' files end before a dot or space.
    """
    if segment.isascii():
        return segment.lower().strip(" ").rstrip(" .")
    plain = unicodedata.normalize("NFKC", segment).upper().casefold().replace("\u0307", "")
    # Without the dot that is left of the capital i, and composed again: some capitals are several.
    return unicodedata.normalize("NFKC", plain).strip().rstrip(" .")


def _rule_host(host: str) -> str:
    """A host of the configuration; one that no request can name would leave its rule asleep."""
    name = host_name(host)
    if isinstance(name, Denial):
        raise ValueError(f"routes: '{host}' is not a host; write it like shop.example")  # noqa: TRY004
    return name


def compiled(route: Route, cors: Sharing = NOBODY, login: Login | None = None) -> Rule:
    """One route, ready to be matched; *cors* and *login* hold where it does not say itself."""
    segments, open_ended = template(route.path)
    requirement = route.require or MATCH_ANYTHING
    return Rule(
        pattern=route.path,
        segments=segments,
        folded=tuple(part and fold(part) for part in segments),
        open_ended=open_ended,
        methods=frozenset(route.methods),
        hosts=frozenset(_rule_host(host) for host in route.hosts),
        anonymous=route.anonymous,
        requirement=requirement,
        checks=needed(requirement),
        cors=Sharing(route.cors) if route.cors else cors,
        login=None if route.anonymous else route.login or login,
    )
