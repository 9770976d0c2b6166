"""What does a configuration decide with? Both pipelines, put together from their parts.

The running agent and `attache explain` build them here: what is explained is what decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.config.attache import Attache
from agent.config.routes import Route
from agent.context.store import ContextStore
from agent.credentials.assembly import Credentials
from agent.credentials.transaction import HEADER
from agent.flow.correlation import Randomness
from agent.flow.headers import Badge
from agent.flow.inbound import Inbound
from agent.flow.outbound import Outbound, Target, kept_inside
from agent.flow.problem import Challenger
from agent.flow.tokens import Tokens
from agent.flow.transaction import Rule, Transactions
from agent.identity.bearer import Bearers
from agent.identity.revocation.guard import Revoked
from agent.identity.trust import Trust
from agent.judge import Pipelines
from agent.policy.routes import Routes

if TYPE_CHECKING:
    from agent.login.assembly import Entrance


def pipelines(
    config: Attache,
    trust: Trust,
    credentials: Credentials,
    contexts: ContextStore,
    random: Randomness,
    revoked: Revoked,
    entrance: Entrance | None = None,
) -> Pipelines:
    """Return the pipelines of *config*; a direction without a listener has none.

    *entrance* knows the people with browsers; None where nobody may sign in.
    """
    inbound = config.listeners.inbound
    outbound = config.listeners.outbound
    login = inbound.login if inbound else None
    routes = Routes((*published(config), *config.routes), config.inbound.cors, login)
    calls = Outbound(
        targets={
            destination.name: Target(
                destination.name,
                credentials.by_destination[destination.name],
                for_caller=destination.credential.subject in ("user", "either"),
            )
            for destination in config.destinations
        },
        store=contexts,
        random=random,
        passthrough=outbound is not None and outbound.unmatched == "passthrough",
        workload=config.workload.id,
        stripped=kept_inside(
            (*config.inbound.headers, *([HEADER] if transactions(config, trust) else []))
        ),
        recognise=trust.recognise,
        revoked=revoked,
    )
    return Pipelines(
        inbound=Inbound(
            routes=routes,
            verify=trust.verify,
            revoked=revoked,
            chain=credentials.chain,
            badge=Badge(config.inbound.headers),
            store=contexts,
            random=random,
            edge=inbound.edge,
            forward=config.inbound.forward,
            swap=credentials.swap,
            transactions=transactions(config, trust),
            door=entrance.door(routes, trust, credentials) if entrance else None,
            bearer=Bearers().one,
        )
        if inbound
        else None,
        outbound=calls if outbound else None,
        challenger=challenger(config),
        tokens=Tokens(
            outbound=calls,
            offered=frozenset(config.token_service.destinations),
            verify=trust.verify,
            chain=credentials.chain,
            edge=inbound is not None and inbound.edge,
            transactions=transactions(config, trust),
        )
        if config.token_service
        else None,
    )


def transactions(config: Attache, trust: Trust) -> Transactions | None:
    """What becomes of Txn-Tokens; None where the configuration says nothing of them."""
    rules: dict[str, Rule] = {
        issuer.name: issuer.internal.txn_token for issuer in config.issuers if issuer.internal
    }
    sent = any(
        destination.credential.internal and destination.credential.internal.txn_token
        for destination in config.destinations
    )
    if not sent and set(rules.values()) <= {"ignore"}:
        return None
    return Transactions(trust.verify_transaction, rules)


def published(config: Attache) -> tuple[Route, ...]:
    """The anonymous route to our own keys, where the configuration opens it."""
    if config.internal_tokens is None or not config.internal_tokens.publish:
        return ()
    route = {"path": "/.well-known/jwks.json", "methods": ["GET"], "anonymous": True}
    return (Route.model_validate(route),)


def challenger(config: Attache) -> Challenger:
    """Where clients answer a claims challenge: the common endpoint of the first Entra issuer."""
    for issuer in config.issuers:
        if issuer.entra:
            client = next(
                (identity.entra.client_id for identity in config.identities if identity.entra),
                issuer.entra.audiences[0],
            )
            base = issuer.entra.authority.rstrip("/")
            return Challenger(f"{base}/common/oauth2/v2.0/authorize", client)
    return Challenger()
