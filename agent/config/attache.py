"""The whole configuration, and the rules that hold between its parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated

from pydantic import Field, model_validator

from agent.config.destinations import OWN, Destination
from agent.config.exchange_rules import clients_can_prove_themselves, exchanges_fit
from agent.config.fields import Address, Duration, File, Strict, Text, in_cluster
from agent.config.identities import Identity
from agent.config.issuers import Issuer
from agent.config.listeners import Agent, Audit, Envoy, Listeners, Workload
from agent.config.login import Sessions
from agent.config.login_rules import logins_fit, sessions_are_wanted
from agent.config.obo_rules import on_behalf_of_fits
from agent.config.redis import RedisServer
from agent.config.revocation import Revocation
from agent.config.routes import InboundRules, Route, contradictions
from agent.config.stored_rules import refresh_tokens_exist, stored_tokens_fit
from agent.config.stored_tokens import StoredToken
from agent.config.token_rules import destinations_can_be_asked_for, handed_out_tokens_exist
from agent.config.token_service import TokenService


class InternalTokens(Strict):
    """How this workload mints internal tokens (DESIGN.md §7)."""

    issuer: Text = Field(description="Our value of iss.")
    trust_domain: Text = Field(description="The name of the trust domain.")
    keys: File = Field(description="A folder of PEM private keys (P-256), or one such file.")
    lifetime: Annotated[Duration, Field(le=3600)] = Field(
        default=300, description="How long a token is valid; at most an hour."
    )
    max_hops: Annotated[int, Field(ge=1, le=64)] = Field(
        default=8, description="How many workloads may pass a request on."
    )
    publish: bool = Field(
        default=False,
        description="Open /.well-known/jwks.json as an anonymous route on the inbound listener.",
    )
    publish_delay: Duration = Field(
        default=600, description="How long a new key is published before it signs."
    )


class Attache(Strict):
    """attache.yaml."""

    workload: Workload
    listeners: Listeners
    issuers: Annotated[tuple[Issuer, ...], Field(strict=False)] = Field(
        default=(), description="Whose tokens are accepted."
    )
    routes: Annotated[tuple[Route, ...], Field(strict=False)] = Field(
        default=(), description="Which requests pass; the first match wins, no match is denied."
    )
    inbound: InboundRules = InboundRules()
    identities: Annotated[tuple[Identity, ...], Field(strict=False)] = Field(
        default=(), description="What we are at authorization servers."
    )
    destinations: Annotated[tuple[Destination, ...], Field(strict=False)] = Field(
        default=(), description="What the application may call."
    )
    stored_tokens: Annotated[tuple[StoredToken, ...], Field(strict=False)] = Field(
        default=(), description="Refresh tokens that the agent keeps and rotates."
    )
    internal_tokens: InternalTokens | None = None
    revocation: Revocation | None = None
    sessions: Sessions | None = None
    token_service: TokenService | None = None
    agent: Agent = Agent()
    envoy: Envoy = Envoy()
    audit: Audit = Audit()

    @property
    def called(self) -> tuple[Destination, ...]:
        """The destinations that the application calls through Envoy."""
        return tuple(each for each in self.destinations if each.hosts)

    @model_validator(mode="after")
    def _consistent(self) -> Attache:
        problems = [problem for rule in RULES for problem in rule(self)]
        if problems:
            raise Inconsistent(problems)
        return self


class Inconsistent(ValueError):
    """Parts of the configuration contradict each other; `problems` are (path, "reason; remedy")."""

    def __init__(self, problems: list[tuple[tuple[str | int, ...], str]]) -> None:
        super().__init__("; ".join(text for _, text in problems))
        self.problems = problems


Problem = tuple[tuple[str | int, ...], str]


def names_are_unique(config: Attache) -> Iterator[Problem]:
    """A name must mean one thing."""
    groups: dict[str, Iterable[str]] = {
        "issuers": (item.name for item in config.issuers),
        "identities": (item.name for item in config.identities),
        "destinations": (item.name for item in config.destinations),
        "storedTokens": (item.name for item in config.stored_tokens),
    }
    for group, names in groups.items():
        seen: set[str] = set()
        for index, name in enumerate(names):
            if name in seen:
                yield (group, index, "name"), f"'{name}' is used twice; rename one"
            seen.add(name)


def hosts_are_unique(config: Attache) -> Iterator[Problem]:
    """A host must lead to one destination."""
    owners: dict[Address, str] = {}
    for index, destination in enumerate(config.destinations):
        for position, host in enumerate(destination.hosts):
            address = Address.parse(host, default_port=80)
            owner = owners.setdefault(address, destination.name)
            if owner != destination.name:
                yield (
                    ("destinations", index, "hosts", position),
                    f"'{host}' leads to '{owner}' already; remove it from one of the two",
                )


def issuers_are_unique(config: Attache) -> Iterator[Problem]:
    """One `iss` belongs to one entry: which rules apply must not depend on the order."""
    owners: dict[str, str] = {}
    for index, issuer in enumerate(config.issuers):
        for value in dict.fromkeys(_claimed(issuer)):
            if value in owners:
                yield (
                    ("issuers", index),
                    f"'{value}' is trusted by '{owners[value]}' already; merge the two entries",
                )
            owners[value] = issuer.name


def one_introspection(config: Attache) -> Iterator[Problem]:
    """An opaque token names nobody: there must be one place only that it can be sent to."""
    owner = ""
    for index, issuer in enumerate(config.issuers):
        if issuer.introspection is None:
            continue
        if owner:
            yield (
                ("issuers", index, "introspection"),
                f"opaque tokens go to '{owner}' already, and only one server may see them; "
                "remove one of the two",
            )
        owner = issuer.name
        for other in config.issuers:
            if other.internal and issuer.introspection.issuer in other.internal.issuers:
                yield (
                    ("issuers", index, "introspection", "issuer"),
                    f"'{other.name}' mints in this name, and its tokens are never introspected; "
                    "write the issuer of the opaque tokens",
                )


def _claimed(issuer: Issuer) -> tuple[str, ...]:
    """Whose tokens an entry takes; for Entra and B2C a name of the tenant, not its `iss`."""
    if issuer.oidc:
        return (issuer.oidc.issuer,)
    if issuer.internal:
        return issuer.internal.issuers
    if issuer.b2c:
        return (f"{issuer.b2c.authority.rstrip('/')}/{issuer.b2c.tenant}",)
    if issuer.entra:
        base = issuer.entra.authority.rstrip("/")
        return tuple(f"{base}/{tenant}" for tenant in issuer.entra.tenants or ("*",))
    return ()


def any_tenant_stands_alone(config: Attache) -> Iterator[Problem]:
    """Any tenant is also each tenant that another entry lists."""
    owners = {
        issuer.entra.authority.rstrip("/"): issuer.name
        for issuer in config.issuers
        if issuer.entra and issuer.entra.allow_any_tenant
    }
    for index, issuer in enumerate(config.issuers):
        if issuer.entra is None or issuer.entra.allow_any_tenant:
            continue
        if owner := owners.get(issuer.entra.authority.rstrip("/")):
            yield (
                ("issuers", index),
                f"its tenants are accepted by '{owner}' already, which takes any; remove one",
            )


def listeners_exist(config: Attache) -> Iterator[Problem]:
    """An agent without a listener decides nothing; ports and addresses must not collide."""
    inbound, outbound = config.listeners.inbound, config.listeners.outbound
    service = config.token_service
    if inbound is None and outbound is None and service is None:
        yield (
            ("listeners",),
            "neither inbound nor outbound is configured; write one or both",
        )
    if config.routes and inbound is None:
        yield ("routes",), "routes need listeners.inbound; write it, or remove the routes"
    if config.called and outbound is None:
        yield ("destinations",), "destinations need listeners.outbound; write it, or remove them"
    taken: dict[int, str] = {}
    ports = {
        "listeners.inbound.port": inbound.port if inbound else None,
        "listeners.outbound.port": outbound.port if outbound else None,
        "agent.admin": config.agent.admin.port,
        "envoy.admin": config.envoy.admin.port,
        "tokenService.http": service.http.port if service and service.http else None,
        "listeners.inbound.application": (
            inbound.application.port if inbound and inbound.application.loopback else None
        ),
    }
    for name, port in ports.items():
        if port is None:
            continue
        if port in taken:
            yield tuple(name.split(".")), f"port {port} is taken by {taken[port]}; choose another"
        taken[port] = name
    for path, address in (
        (("agent", "admin"), config.agent.admin),
        (("envoy", "admin"), config.envoy.admin),
    ):
        if not address.loopback:  # SECURITY.md 24
            yield path, f"{address} can be reached from outside the pod; use 127.0.0.1"


def routes_can_be_met(config: Attache) -> Iterator[Problem]:
    """A route that asks for a token needs an issuer that could have made it."""
    if config.issuers:
        return
    for index, route in enumerate(config.routes):
        if not route.anonymous:
            yield (
                ("routes", index),
                (
                    "this route needs a token but no issuer is configured; add one to "
                    "issuers, or write anonymous: true"
                ),
            )


def routes_do_not_contradict(config: Attache) -> Iterator[Problem]:
    """Two routes for the same requests: the second would be dead, and somebody relies on it."""
    for later, earlier in contradictions(config.routes):
        path = config.routes[later].path
        yield (
            ("routes", later),
            f"routes[{earlier}] is for the same requests ('{path}') and asks for something else; "
            "remove one of the two",
        )


def references_resolve(config: Attache) -> Iterator[Problem]:
    """Identities, internal tokens and issuers that a credential names must exist and fit."""
    identities = {item.name: item for item in config.identities}
    if config.inbound.forward == "internal" and config.internal_tokens is None:
        yield ("inbound", "forward"), "internal needs internalTokens; configure it, or use original"
    for index, destination in enumerate(config.destinations):
        choice = destination.credential
        path = ("destinations", index, "credential", choice.kind)
        named = choice.obo or choice.client_credentials or choice.token_exchange
        if named and named.identity not in identities:
            known = ", ".join(sorted(identities))
            remedy = f"write one of {known}, or add it" if known else "add it to identities"
            yield (*path, "identity"), f"identity '{named.identity}' does not exist; {remedy}"
            continue
        if choice.managed_identity and (name := choice.managed_identity.identity):
            entra = identities[name].entra if name in identities else None
            if entra is None or entra.managed_identity is None:
                yield (
                    (*path, "identity"),
                    f"'{name}' is no entra identity with managedIdentity; write clientId instead, "
                    "or nothing for the system-assigned one",
                )
        if choice.internal and config.internal_tokens is None:
            yield path, "an internal credential needs internalTokens; configure it"


def tokens_travel_safely(config: Attache) -> Iterator[Problem]:
    """SECURITY.md 26: no token in plain text to a host outside the cluster, unless said."""
    for index, destination in enumerate(config.destinations):
        if destination.credential.none or destination.tls or destination.plaintext:
            continue
        if not destination.hosts:
            continue
        host = destination.upstream.host
        if not in_cluster(host, config.workload.namespace):
            yield (
                ("destinations", index),
                f"a token would travel in plain text to '{host}'; write tls: {{}}, or "
                "plaintext: true where the network itself protects it",
            )


def what_pods_share_travels_safely(config: Attache) -> Iterator[Problem]:
    """Who can change the list on its way to us can let a revoked token in."""
    servers: dict[str, RedisServer | None] = {
        "revocation": config.revocation.redis if config.revocation else None,
        "sessions": config.sessions.redis if config.sessions else None,
    }
    for section, redis in servers.items():
        if redis is None or redis.tls or redis.plaintext:
            continue
        if not in_cluster(redis.address.host, config.workload.namespace):
            what = "the list" if section == "revocation" else "what pods share"
            yield (
                (section, "redis", "url"),
                f"{what} would travel in plain text from '{redis.address.host}'; write rediss://, "
                "or plaintext: true where the network itself protects it",
            )


def pushed_credentials_are_our_own(config: Attache) -> Iterator[Problem]:
    """What Envoy injects by itself goes out whoever calls (SECURITY.md 27, 28)."""
    for index, destination in enumerate(config.destinations):
        kind = destination.credential.kind
        if destination.delivery == "sds" and kind not in OWN:
            why = "has nothing to push" if kind == "none" else "differs from caller to caller"
            yield (
                ("destinations", index, "delivery"),
                f"sds pushes one credential for all calls, and '{kind}' {why}; remove delivery, "
                f"or use one of {', '.join(sorted(OWN))}",
            )


def transactions_stay_inside(config: Attache) -> Iterator[Problem]:
    """A Txn-Token is accepted in its own trust domain only (its draft, `aud`)."""
    inbound = config.listeners.inbound
    for index, issuer in enumerate(config.issuers):
        if issuer.internal is None or issuer.internal.txn_token == "ignore":
            continue
        path = ("issuers", index, "internal", "txnToken")
        if inbound and inbound.edge:
            yield path, "internal tokens are refused at the edge; remove txnToken"
        ours = config.internal_tokens
        if ours and ours.trust_domain != issuer.internal.trust_domain:
            yield (
                path,
                f"its trust domain is not ours ('{ours.trust_domain}'), where the Txn-Token would "
                "be passed on; remove txnToken",
            )


RULES = (
    names_are_unique,
    hosts_are_unique,
    issuers_are_unique,
    one_introspection,
    any_tenant_stands_alone,
    listeners_exist,
    routes_can_be_met,
    routes_do_not_contradict,
    references_resolve,
    on_behalf_of_fits,
    exchanges_fit,
    clients_can_prove_themselves,
    stored_tokens_fit,
    refresh_tokens_exist,
    tokens_travel_safely,
    what_pods_share_travels_safely,
    logins_fit,
    sessions_are_wanted,
    pushed_credentials_are_our_own,
    transactions_stay_inside,
    handed_out_tokens_exist,
    destinations_can_be_asked_for,
)
