"""What does an introspection endpoint's answer mean (RFC 7662 §2.2, §2.3)?"""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.identity.claims import Claims
from agent.identity.connection import Reply
from agent.identity.strict_json import NotStrict, strict_object
from agent.identity.unusable import Unusable


@dataclass(frozen=True, slots=True)
class Active:
    """The token is good, says its server, and this is what it stands for."""

    claims: Claims = field(repr=False)
    size: int  # bytes of the answer


@dataclass(frozen=True, slots=True)
class Inactive:
    """The token is not good; the server need not say why. `oddity`: a word to the operator."""

    oddity: str = ""


@dataclass(frozen=True, slots=True)
class Trouble:
    """No answer about this token: a sentence for the operator, without a full stop.

    `stop`: asking again at once is no use. `retry_after` is what the server asked for, in seconds.
    """

    sentence: str
    stop: bool = False
    retry_after: float = 0.0


Outcome = Active | Inactive | Trouble


def read_answer(url: str, client: str, reply: Reply | Unusable) -> Outcome:
    """Return what *reply* says of the token; *url* and *client* are for the operator."""
    if isinstance(reply, Unusable):
        return Trouble(reply.sentence)
    if reply.status in (401, 403):
        return Trouble(
            f"{url} refused us ({reply.status}). Check clientId '{client}', authMethod, and that "
            "this client may introspect; renew the secret in its file, which is reread",
            stop=True,
            retry_after=reply.retry_after,
        )
    if reply.status == 429:
        return Trouble(
            f"{url} limits our requests (429). A longer cache asks less often",
            stop=True,
            retry_after=reply.retry_after or 5.0,
        )
    if reply.status != 200:
        known = "" if reply.status >= 500 else ". Check that url is its introspection endpoint"
        return Trouble(f"{url} answered {reply.status}{known}", retry_after=reply.retry_after)
    return _read(url, reply.body)


def _read(url: str, body: bytes) -> Outcome:
    try:
        members = strict_object(body)
    except NotStrict as why:
        return Trouble(f"the answer of {url} is refused: {why}")
    active = members.get("active")
    if active is True:  # RFC 7662 §2.2: a boolean; neither 1 nor "true" is one
        return Active(members, len(body))
    if active is False:
        return Inactive()
    return Inactive(f"{url} does not say true or false for 'active', so no token is accepted")
