"""How do a test and the demo talk to the provider? Requests with the right credentials."""

from typing import Any

import requests

from demo.idp import jose
from demo.idp.control import HEADER
from demo.idp.directory import App, Directory, User
from demo.idp.server import IdentityProvider

OBO = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class Caller:
    """Speaks to a provider that runs in this process; use it as a context manager.

    Apps and users are named as in the directory; their secrets and passwords are looked up.
    A further keyword is a form parameter and overrides what stands there by default.
    """

    def __init__(self, provider: IdentityProvider) -> None:
        self._provider = provider
        self.session = requests.Session()
        # an environment's REQUESTS_CA_BUNDLE would override `verify`
        self.session.trust_env = False
        self.session.verify = str(provider.ca_file)

    def __enter__(self) -> "Caller":
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        """GET a path of the provider."""
        return self.session.get(self._provider.base_url + path, **kwargs)

    def token(self, tenant: str, form: dict[str, str], **kwargs: Any) -> requests.Response:
        """POST a form to a tenant's token endpoint."""
        url = f"{self._provider.base_url}/{tenant}/oauth2/v2.0/token"
        return self.session.post(url, data=form, **kwargs)

    def sign_in(
        self, username: str, scope: str, client: str = "sign-in", **form: str
    ) -> requests.Response:
        """Sign a user in with the password of the directory."""
        user = self._user(username)
        whole = {
            "grant_type": "password",
            "username": username,
            "password": user.password,
            "scope": scope,
        }
        return self.token(user.tenant, self._proof(client) | whole | form)

    def user_token(self, username: str, scope: str, client: str = "sign-in", **form: str) -> str:
        """Return the access token of a sign-in that must succeed."""
        return _access_token(self.sign_in(username, scope, client, **form))

    def on_behalf_of(
        self, client: str, assertion: str, scope: str, tenant: str | None = None, **form: str
    ) -> requests.Response:
        """Exchange a user's token, by default in the tenant it comes from."""
        jws = jose.parse(assertion)
        whole = {
            "grant_type": OBO,
            "requested_token_use": "on_behalf_of",
            "assertion": assertion,
            "scope": scope,
        }
        where = tenant or (str(jws.claims["tid"]) if jws else "")
        return self.token(where, self._proof(client) | whole | form)

    def own_token(self, client: str, scope: str, tenant: str, **form: str) -> requests.Response:
        """Ask for an app's own token."""
        whole = {"grant_type": "client_credentials", "scope": scope}
        return self.token(tenant, self._proof(client) | whole | form)

    def app_token(self, client: str, scope: str, tenant: str) -> str:
        """Return an app's own token, which must be given."""
        return _access_token(self.own_token(client, scope, tenant))

    def control(self, method: str, name: str, **kwargs: Any) -> requests.Response:
        """Call the control surface."""
        headers = {HEADER: self._provider.control_key}
        url = f"{self._provider.base_url}/_control/{name}"
        return self.session.request(method, url, headers=headers, **kwargs)

    @property
    def _directory(self) -> Directory:
        return self._provider.world.directory

    def _proof(self, name: str) -> dict[str, str]:
        app = self._app(name)
        secret = {"client_secret": app.secrets[0].value} if app.secrets else {}
        return {"client_id": app.client_id} | secret

    def _app(self, name: str) -> App:
        if app := self._directory.app(name):
            return app
        raise KeyError(f"no app {name!r}")

    def _user(self, username: str) -> User:
        for user in self._directory.users:
            if user.username == username:
                return user
        raise KeyError(f"no user {username!r}")


def _access_token(answer: requests.Response) -> str:
    if answer.status_code != 200:
        raise ValueError(f"{answer.status_code}: {answer.text}")
    return str(answer.json()["access_token"])
