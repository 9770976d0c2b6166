"""What does the token endpoint answer? One function for each grant type."""

import hashlib
import hmac
from collections.abc import Callable, Mapping

from demo.idp import answers, clients, demands, jose, scopes
from demo.idp.answers import Answer, Wish
from demo.idp.call import Call
from demo.idp.demands import MFA, ClaimsRequest
from demo.idp.desk import Desk, TokenRequest
from demo.idp.directory import Tenant, User
from demo.idp.errors import AadError, moment, refuse
from demo.idp.obo import on_behalf_of
from demo.idp.sessions import Code
from demo.idp.tokens import Client, SignIn


def token(request: TokenRequest, desk: Desk) -> Answer | AadError:
    """Answer one token request. Pure but for the desk's sessions, which codes use up."""
    form = request.form
    name = form.get("grant_type")
    if not name:
        return refuse(900144, parameter="grant_type")
    if name not in GRANTS:
        return refuse(70003, grant=name)
    grant, required = GRANTS[name]
    if missing := [parameter for parameter in required if not form.get(parameter)]:
        return refuse(900144, parameter=missing[0])
    asked = demands.parse(form.get("claims"))
    if isinstance(asked, AadError):
        return asked
    tenant = _tenant(request, desk)
    if isinstance(tenant, AadError):
        return tenant
    client = clients.authenticate(request, tenant, desk)
    if isinstance(client, AadError):
        return client
    return grant(Call(form, asked, tenant, client, desk))


def _tenant(request: TokenRequest, desk: Desk) -> Tenant | AadError:
    """Find the tenant: under common and organizations, what is presented names it."""
    if request.authority.lower() not in ("common", "organizations"):
        return desk.tenant_at(request.authority)
    form, implied = request.form, None
    if username := form.get("username"):
        home = desk.directory.home_of(username)
        implied = home.id if home else None
    elif handle := form.get("code") or form.get("refresh_token"):
        implied = desk.sessions.tenant_of(handle)
    return desk.tenant_at(implied or request.authority)


def password(call: Call) -> Answer | AadError:
    """Sign a user in by name and password (RFC 6749 §4.3), as the demo and tests do.

    Entra's own password grant knows no second factor. Here a user who has one is taken to
    use it when asked, so that a step-up can be shown without a browser.
    """
    desk, tenant, scope = call.desk, call.tenant, call.form["scope"]
    user = sign_in_user(desk, tenant, call.form["username"], call.form["password"])
    if isinstance(user, AadError):
        return user
    ask = scopes.parse(scope, tenant, call.client, desk)
    if isinstance(ask, AadError):
        return ask
    sign_in = SignIn(user, methods(desk, tenant, user, ask.resource.client_id, call.asked))
    return answers.for_user(desk, tenant, call.client, sign_in, Wish(scope, call.asked))


def sign_in_user(desk: Desk, tenant: Tenant, username: str, secret: str) -> User | AadError:
    """Return the user who knows this password."""
    user = desk.directory.user(tenant.id, username)
    if user is None:
        return refuse(50034, user=username, tenant=tenant.name)
    if not hmac.compare_digest(user.password.encode(), secret.encode()):
        return refuse(50126)
    return user if user.enabled else refuse(50057)


def methods(
    desk: Desk, tenant: Tenant, user: User, resource: str, asked: ClaimsRequest
) -> tuple[str, ...]:
    """Return how *user* signs in: with the second factor if it is there and called for."""
    called_for = asked.step_up or any(
        policy.demand == MFA for policy in desk.directory.demands(tenant.id, resource)
    )
    return ("pwd", MFA) if user.second_factor and called_for else ("pwd",)


def authorization_code(call: Call) -> Answer | AadError:
    """Redeem a code once (RFC 6749 §4.1.3), with the verifier of its challenge (RFC 7636)."""
    desk, form = call.desk, call.form
    code, state = desk.sessions.redeem_code(form["code"])
    if code is None or (code.client, code.tenant) != (call.client.app.client_id, call.tenant.id):
        return refuse(70000)
    if state != "live":
        return refuse(54005)
    if code.issued + desk.names.settings.code_lifetime <= desk.now:
        return refuse(70008)
    if form["redirect_uri"] != code.redirect_uri:
        return refuse(500112, uri=form["redirect_uri"])
    if failure := _verifier(code, call.client, form.get("code_verifier", "")):
        return failure
    wish = Wish(form.get("scope") or code.scope, call.asked, nonce=code.nonce)
    return answers.for_user(desk, call.tenant, call.client, code.sign_in, wish)


def _verifier(code: Code, client: Client, verifier: str) -> AadError | None:
    if code.challenge is None:
        return refuse(9002325) if client.app.public else None
    computed = jose.b64url(hashlib.sha256(verifier.encode()).digest())
    return None if hmac.compare_digest(computed, code.challenge) else refuse(501481)


def refresh_token(call: Call) -> Answer | AadError:
    """Continue a sign-in; the answer brings the next refresh token (RFC 6749 §6)."""
    desk, settings = call.desk, call.desk.names.settings
    kept, state = desk.sessions.redeem_refresh_token(call.form["refresh_token"])
    if kept is None or (kept.client, kept.tenant) != (call.client.app.client_id, call.tenant.id):
        return refuse(70000)
    if state == "revoked":
        return refuse(50173)
    if state == "used" and settings.refresh_reuse == "revokes":
        desk.sessions.revoke_family(kept.family)
        return refuse(70000)
    if kept.issued + settings.refresh_token_lifetime <= desk.now:
        lifetime = settings.refresh_token_lifetime
        return refuse(700082, issued=moment(kept.issued), lifetime=lifetime)
    user = desk.directory.user(call.tenant.id, kept.sign_in.user.id)
    if user is None or not user.enabled:
        return refuse(50057)
    scope = f"{call.form.get('scope') or kept.scope} offline_access"
    wish = Wish(scope, call.asked, family=kept.family)
    sign_in = SignIn(user, kept.sign_in.methods)
    return answers.for_user(desk, call.tenant, call.client, sign_in, wish)


def client_credentials(call: Call) -> Answer | AadError:
    """Give an app its own token (RFC 6749 §4.4): always all of its roles at one resource."""
    if call.client.app.public:
        return refuse(7000218)
    scope = call.form["scope"]
    words = scope.split()
    if len(words) != 1 or not words[0].endswith(f"/{scopes.DEFAULT}"):
        return refuse(1002012, scope=scope)
    ask = scopes.parse(scope, call.tenant, call.client, call.desk)
    if isinstance(ask, AadError):
        return ask
    return answers.for_app(call.desk, call.tenant, call.client, ask, call.asked)


Grant = Callable[[Call], Answer | AadError]

# Each grant type, and the parameters that it requires beside the client's.
GRANTS: Mapping[str, tuple[Grant, tuple[str, ...]]] = {
    "password": (password, ("username", "password", "scope")),
    "authorization_code": (authorization_code, ("code", "redirect_uri")),
    "refresh_token": (refresh_token, ("refresh_token",)),
    "client_credentials": (client_credentials, ("scope",)),
    "urn:ietf:params:oauth:grant-type:jwt-bearer": (
        on_behalf_of,
        ("assertion", "scope", "requested_token_use"),
    ),
}
