"""How does a person sign in with a browser? The authorize endpoint and its one page."""

from collections.abc import Mapping
from urllib.parse import urlencode

from flask import Blueprint, Response, redirect, render_template_string, request

from demo.idp import answers, demands, edits, grants, scopes
from demo.idp.desk import Desk
from demo.idp.directory import App, Tenant, User
from demo.idp.errors import AadError, refuse
from demo.idp.scopes import Ask
from demo.idp.sessions import Code
from demo.idp.tokens import Client, SignIn
from demo.idp.world import World

PAGE = """<!DOCTYPE html>
<html lang="en"><head><title>Sign in</title></head><body>
<h1>Sign in{% if app %} to {{ app }}{% endif %}</h1>
{% if problem %}<p role="alert">{{ problem }}</p>{% endif %}
{% if app %}<form method="post">
{% for name, value in hidden.items() %}<input type="hidden" name="{{ name }}" value="{{ value }}">
{% endfor %}<p><label>User <input name="username" value="{{ username }}"></label></p>
<p><label>Password <input name="password" type="password"></label></p>
{% if wanted %}<p><label><input type="checkbox" name="consent" value="accept">
Let {{ app }} use {{ wanted }}</label></p>{% endif %}
<button>Sign in</button></form>{% endif %}
</body></html>"""

_HIDDEN = (
    "client_id",
    "response_type",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "claims",
    "prompt",
)


def sign_in(world: World) -> Blueprint:
    """Return the authorize endpoint: GET shows the page, POST takes the password."""
    face = Blueprint("sign_in", __name__)

    @face.route("/<segment>/oauth2/authorize", methods=["GET", "POST"])
    @face.route("/<segment>/oauth2/v2.0/authorize", methods=["GET", "POST"])
    def authorize(segment: str) -> Response:
        asked = request.values.to_dict()
        desk = world.desk()
        app = trusted(desk, asked)
        if isinstance(app, AadError):
            # RFC 6749 §4.1.2.1: never redirect to an address that is not registered
            return _page(problem=app, status=400)
        if failure := acceptable(asked):
            return _back(asked, _named(failure))
        if request.method == "GET":
            username = asked.get("login_hint", "")
            return _page(app=app, asked=asked, username=username)
        return _attempt(world, segment, app, asked)

    @face.get("/<segment>/oauth2/logout")
    @face.get("/<segment>/oauth2/v2.0/logout")
    def logout(segment: str) -> Response:
        # No session is kept here; RP-Initiated Logout 1.0 §3: back only to where is registered
        back = request.args.get("post_logout_redirect_uri", "")
        app = world.desk().directory.app(request.args.get("client_id", ""))
        if app is None or back not in app.redirect_uris:
            return Response("You are signed out.", mimetype="text/plain")
        answer = redirect(back)
        assert isinstance(answer, Response)
        return answer

    return face


def trusted(desk: Desk, asked: Mapping[str, str]) -> App | AadError:
    """Return the client, if the redirect URI is exactly one of its own."""
    client_id, uri = asked.get("client_id", ""), asked.get("redirect_uri", "")
    app = desk.directory.app(client_id)
    if app is None or app.client_id != client_id.lower():
        return refuse(700016, client=client_id, tenant="this provider")
    if uri not in app.redirect_uris:
        return refuse(50011, uri=uri, client=client_id)
    return app


def acceptable(asked: Mapping[str, str]) -> AadError | None:
    """Return the first reason why this request can never succeed."""
    if asked.get("response_type") != "code":
        return refuse(70001, kind=asked.get("response_type"))
    if not asked.get("scope"):
        return refuse(900144, parameter="scope")
    method = asked.get("code_challenge_method", "S256")
    if asked.get("code_challenge") and method != "S256":
        return refuse(9002326, method=method)
    if asked.get("prompt") == "none":
        return refuse(50058)
    return None


def _attempt(world: World, segment: str, app: App, asked: Mapping[str, str]) -> Response:
    desk, username = world.desk(), asked.get("username", "")
    tenant = _tenant(desk, segment, username)
    if isinstance(tenant, AadError):
        return _page(problem=tenant, app=app, asked=asked, username=username)
    user = grants.sign_in_user(desk, tenant, username, asked.get("password", ""))
    if isinstance(user, AadError):
        return _page(problem=user, app=app, asked=asked, username=username)
    client = Client(app, "0")
    ask = scopes.parse(asked["scope"], tenant, client, desk)
    claims = demands.parse(asked.get("claims"))
    if isinstance(ask, AadError):
        return _back(asked, _named(ask))
    if isinstance(claims, AadError):
        return _back(asked, _named(claims))
    methods = grants.methods(desk, tenant, user, ask.resource.client_id, claims)
    if weak := demands.check(desk, tenant, ask.resource, claims, methods):
        return _back(asked, _named(weak))
    proven = SignIn(user, methods)
    if isinstance(answers.grant(desk, tenant, client, proven, ask), AadError):
        if asked.get("consent") != "accept":
            return _page(app=app, asked=asked, username=username, wanted=asked["scope"])
        _consent(world, tenant, app, user, ask)
    code = Code(
        sign_in=proven,
        tenant=tenant.id,
        client=app.client_id,
        redirect_uri=asked["redirect_uri"],
        scope=asked["scope"],
        challenge=asked.get("code_challenge") or None,
        nonce=asked.get("nonce"),
        issued=desk.now,
    )
    return _back(asked, {"code": desk.sessions.keep_code(code)})


def _tenant(desk: Desk, segment: str, username: str) -> Tenant | AadError:
    if segment.lower() in ("common", "organizations"):
        return desk.directory.home_of(username) or refuse(50034, user=username, tenant=segment)
    return desk.tenant_at(segment)


def _consent(world: World, tenant: Tenant, app: App, user: User, ask: Ask) -> None:
    names = list(ask.resource.scopes if ask.default else ask.names)
    world.change(
        lambda directory: edits.grant_consent(
            directory, app.client_id, ask.resource.client_id, names, tenant.id, user.id
        )
    )


def _named(error: AadError) -> dict[str, str]:
    return {
        "error": error.error,
        "error_description": f"AADSTS{error.code}: {error.message}",
    }


def _back(asked: Mapping[str, str], parameters: Mapping[str, str]) -> Response:
    uri = asked["redirect_uri"]
    echoed = {"state": asked["state"]} if "state" in asked else {}
    query = urlencode({**parameters, **echoed})
    answer = redirect(f"{uri}{'&' if '?' in uri else '?'}{query}")
    assert isinstance(answer, Response)
    return answer


def _page(
    problem: AadError | None = None,
    app: App | None = None,
    asked: Mapping[str, str] | None = None,
    username: str = "",
    wanted: str = "",
    status: int = 200,
) -> Response:
    given = asked or {}
    page = render_template_string(
        PAGE,
        app=app.name if app else "",
        problem=f"AADSTS{problem.code}: {problem.message}" if problem else "",
        hidden={name: given[name] for name in _HIDDEN if name in given},
        username=username,
        wanted=wanted,
    )
    answer = Response(page, status=status, mimetype="text/html")
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
    return answer
