"""What does Envoy's own oauth2 filter fulfil of a sign-in at the edge? docs/decisions, edge login.

Where one of these fails with a new Envoy, the filter has learnt something: read the decision again.
"""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from demo.binary import envoy_binary
from tests.e2e.contract_inbound_tools import Answer, Echo, free_ports, until

pytestmark = pytest.mark.e2e

TABS = 8
TYPE = "type.googleapis.com/envoy.extensions.filters"


class Provider:
    """A token endpoint whose refresh tokens serve once (RFC 9700 §4.14.2)."""

    def __init__(self) -> None:
        self.redeemed: list[str] = []
        self.verifiers: list[str] = []
        self.live, self.expires_in = "r0", 3600
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                status, answer = provider.answer({n: v[0] for n, v in parse_qs(body).items()})
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Silence."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, form: dict[str, str]) -> tuple[int, bytes]:
        if form["grant_type"] == "refresh_token":
            self.redeemed.append(form["refresh_token"])
            until(lambda: len(self.redeemed) >= TABS, "all tabs to come at once")
            if form["refresh_token"] != self.live:
                return 400, b'{"error":"invalid_grant"}'
            self.live = f"r{len(self.redeemed)}"
        self.verifiers.append(form.get("code_verifier", ""))
        # A nonce of nobody, no signature, and somebody else's audience
        claims = base64.urlsafe_b64encode(b'{"aud":"another","nonce":"x","exp":9999999999}')
        forged = f"eyJhbGciOiJub25lIn0.{claims.rstrip(b'=').decode()}."
        made = {"access_token": "opaque", "token_type": "Bearer", "id_token": forged}
        made |= {"expires_in": self.expires_in, "refresh_token": self.live}
        return 200, json.dumps(made).encode()


class Browser:
    """A cookie jar and nothing else."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}
        self.attributes: dict[str, str] = {}

    def get(self, path: str, keep: bool = True, **headers: str) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection.request("GET", path, headers={"cookie": sent, **headers})
        answer = Answer(connection.getresponse())
        connection.close()
        for name, value in answer.pairs if keep else ():
            if name == "set-cookie":
                pair, _, attributes = value.partition(";")
                key, _, text = pair.partition("=")
                self.cookies[key], self.attributes[key] = text, attributes
        return answer

    def sign_in(self) -> Answer:
        begun = self.get("/page")
        asked = parse_qs(urlsplit(begun.headers["location"]).query)
        return self.get(f"/callback?code=c&state={asked['state'][0]}")


def configuration(port: int, admin: int, provider: int, application: int) -> dict[str, object]:
    def cluster(name: str, to: int) -> dict[str, object]:
        socket = {"socket_address": {"address": "127.0.0.1", "port_value": to}}
        endpoints = [{"lb_endpoints": [{"endpoint": {"address": socket}}]}]
        load = {"cluster_name": name, "endpoints": endpoints}
        return {"name": name, "type": "STATIC", "load_assignment": load}

    def secret(name: str) -> dict[str, object]:
        text = {"inline_string": "a secret of the test's own, long enough"}
        return {"name": name, "generic_secret": {"secret": text}}

    names = ("bearer_token", "oauth_hmac", "oauth_expires", "id_token", "refresh_token")
    names = (*names, "oauth_nonce", "code_verifier")
    fetches = {"name": "sec-fetch-mode", "string_match": {"exact": "cors"}}
    url = f"http://127.0.0.1:{provider}"
    oauth2 = {
        "@type": f"{TYPE}.http.oauth2.v3.OAuth2",
        "config": {
            "token_endpoint": {"cluster": "provider", "uri": f"{url}/token", "timeout": "5s"},
            "authorization_endpoint": f"{url}/authorize",
            "redirect_uri": f"http://127.0.0.1:{port}/callback",
            "redirect_path_matcher": {"path": {"exact": "/callback"}},
            "signout_path": {"path": {"exact": "/signout"}},
            "auth_scopes": ["openid"],
            "use_refresh_token": True,
            "forward_bearer_token": True,
            "deny_redirect_matcher": [fetches],
            "credentials": {
                "client_id": "gateway",
                "token_secret": {"name": "client"},
                "hmac_secret": {"name": "hmac"},
                "cookie_names": {name: f"__Host-{name}" for name in names},
            },
        },
    }
    routes = {
        "name": "r",
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "application"}}],
            }
        ],
    }
    router = {"@type": f"{TYPE}.http.router.v3.Router"}
    manager = {
        "@type": f"{TYPE}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "http_filters": [
            {"name": "oauth2", "typed_config": oauth2},
            {"name": "router", "typed_config": router},
        ],
        "route_config": routes,
    }
    listening = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    administered = {"socket_address": {"address": "127.0.0.1", "port_value": admin}}
    return {
        "admin": {"address": administered},
        "static_resources": {
            "listeners": [{"name": "in", "address": listening, "filter_chains": [chain]}],
            "clusters": [cluster("provider", provider), cluster("application", application)],
            "secrets": [secret("client"), secret("hmac")],
        },
    }


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture(scope="module")
def port(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder: Path = tmp_path_factory.mktemp("oauth2")
    application, (mine, admin) = Echo(), free_ports(2)
    file = folder / "envoy.json"
    made = configuration(mine, admin, provider.server.server_address[1], application.port)
    file.write_text(json.dumps(made))
    with (folder / "log").open("wb") as log:
        command = [str(envoy_binary()), "-c", str(file), "--disable-hot-restart"]
        process = subprocess.Popen(command, stdout=log, stderr=log)

    def answers() -> bool:
        try:
            return Browser(mine).get("/").status > 0
        except OSError:
            return process.poll() is not None

    try:
        until(answers, "a listener")
        assert process.poll() is None, (folder / "log").read_text()[-2000:]
        yield mine
    finally:
        process.terminate()
        process.wait(10)
        application.down()


@pytest.fixture
def browser(port: int, provider: Provider) -> Browser:
    provider.expires_in = 3600
    return Browser(port)


def test_it_does_the_code_flow_with_pkce_and_tells_a_page_from_a_fetch(browser, provider):
    answer = browser.sign_in()
    assert (answer.status, answer.headers["location"][-5:]) == (302, "/page")
    assert len(provider.verifiers[-1]) >= 43
    assert all(name.startswith("__Host-") for name in browser.attributes)
    assert browser.get("/x").seen("authorization") == ["Bearer opaque"]
    assert Browser(browser.port).get("/x", **{"sec-fetch-mode": "cors"}).status == 401


def test_it_takes_an_id_token_that_nobody_signed_for_another_client_and_another_nonce(browser):
    assert browser.sign_in().status == 302
    assert browser.get("/page").status == 200


def test_it_shows_the_tokens_to_the_application_in_the_cookies(browser):
    browser.sign_in()
    assert browser.cookies["__Host-bearer_token"] != "opaque"  # it is encrypted on the way
    assert "__Host-bearer_token=opaque" in browser.get("/page").seen("cookie")[0]


def test_many_tabs_at_expiry_cause_as_many_refreshes_and_lose_the_session(browser, provider):
    provider.expires_in = 1
    browser.sign_in()
    provider.redeemed.clear()
    ends = int(browser.cookies["__Host-oauth_expires"])
    until(lambda: time.time() > ends + 0.2, "the end of the token")
    with ThreadPoolExecutor(TABS) as tabs:
        answers = list(tabs.map(lambda _: browser.get("/page", keep=False), range(TABS)))
    assert provider.redeemed == ["r0"] * TABS
    assert sorted(answer.status for answer in answers) == [200] + [302] * (TABS - 1)
