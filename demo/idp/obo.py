"""May this client act for the user of the token it shows? The On-Behalf-Of grant."""

from collections.abc import Callable
from dataclasses import dataclass

from demo.idp import answers, jose, tokens
from demo.idp.answers import Answer, Wish
from demo.idp.call import Call
from demo.idp.errors import AadError, moment, refuse
from demo.idp.tokens import SignIn


@dataclass(frozen=True, slots=True)
class Presented:
    """An assertion, and the call that presents it."""

    jws: jose.Jws
    call: Call


def on_behalf_of(call: Call) -> Answer | AadError:
    """Exchange a user's token for one to the next resource, or say why not."""
    if call.form["requested_token_use"] != "on_behalf_of":
        return refuse(9002313, reason="The 'requested_token_use' is not on_behalf_of.")
    jws = jose.parse(call.form["assertion"])
    if jws is None:
        return refuse(50027)
    presented = Presented(jws, call)
    for check in CHECKS:
        if failure := check(presented):
            return failure
    user = call.desk.directory.user(call.tenant.id, str(jws.claims.get("oid")))
    if user is None:
        return refuse(50034, user=jws.claims.get("oid"), tenant=call.tenant.name)
    sign_in = SignIn(user, tokens.signed_in_with(jws.claims))
    wish = Wish(call.form["scope"], call.asked)
    return answers.for_user(call.desk, call.tenant, call.client, sign_in, wish)


def _signature(presented: Presented) -> AadError | None:
    try:
        key = presented.call.desk.ring.find(str(presented.jws.header.get("kid")))
    except KeyError:
        return refuse(50013, reason="The key was not found.")
    if not jose.proves(presented.jws, key.private.public_key()):
        return refuse(50013, reason="The provided signature value did not match.")
    return None


def _issuer(presented: Presented) -> AadError | None:
    claims, names, tenant = (
        presented.jws.claims,
        presented.call.desk.names,
        presented.call.tenant.id,
    )
    if claims.get("tid") != tenant or claims.get("iss") not in (
        names.v1_issuer(tenant),
        names.v2_issuer(tenant),
    ):
        return refuse(50013, reason="The assertion was issued by another tenant.")
    return None


def _audience(presented: Presented) -> AadError | None:
    audience, app = str(presented.jws.claims.get("aud")), presented.call.client.app
    if not app.answers_to(audience):
        return refuse(500131, audience=audience, client=app.client_id)
    return None


def _expiry(presented: Presented) -> AadError | None:
    expiry, now = presented.jws.claims.get("exp"), presented.call.desk.now
    if not isinstance(expiry, int) or expiry <= now:
        shown = moment(expiry) if isinstance(expiry, int) else "not given"
        return refuse(500133, now=moment(now), expiry=shown)
    return None


def _subject(presented: Presented) -> AadError | None:
    if tokens.is_app_only(presented.jws.claims):
        return refuse(7000114, client=presented.call.client.app.client_id)
    return None


CHECKS: tuple[Callable[[Presented], AadError | None], ...] = (
    _signature,
    _issuer,
    _audience,
    _expiry,
    _subject,
)
