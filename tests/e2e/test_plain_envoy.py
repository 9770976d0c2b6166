"""An Envoy whose configuration its owner wrote, with the printed pieces pasted in; and mis-set.

Nothing of ours is fake: a real agent, a real Envoy, `attache envoy snippet` as a person runs it.
One Envoy has a listener for each way to write it, right and wrong.
"""

from __future__ import annotations

import base64
import copy
import http.client
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import pytest
from ruamel.yaml import YAML

from tests.e2e.contract_inbound_tools import (
    PATIENCE,
    Answer,
    Echo,
    Key,
    Site,
    attache,
    free_ports,
    life,
    program,
    until,
)

pytestmark = pytest.mark.e2e

MANAGER = "envoy.filters.network.http_connection_manager"
TYPES = "type.googleapis.com/envoy.extensions.filters"
Tree = dict[str, Any]
# What may be wrong with the pieces: the pieces, and what the log must say.
Change = Callable[[Tree], None]


def _extensions(host: Tree) -> Tree:
    (settings,) = host["typed_per_filter_config"].values()
    found: Tree = settings["check_settings"]["context_extensions"]
    return found


def _authz(pieces: Tree) -> Tree:
    found: Tree = pieces["http_filters"][0]["typed_config"]
    return found


def no_extensions(pieces: Tree) -> None:
    del pieces["inbound_virtual_host"]["typed_per_filter_config"]


def misspelt_direction(pieces: Tree) -> None:
    _extensions(pieces["inbound_virtual_host"])["direction"] = "inbuond"


def hidden_authorization(pieces: Tree) -> None:
    """As somebody writes it who has not read what we need."""
    _authz(pieces)["allowed_headers"] = {"patterns": [{"exact": "x-request-id"}]}
    del _extensions(pieces["inbound_virtual_host"])["headers"]


def hidden_by_disallowing(pieces: Tree) -> None:
    del _authz(pieces)["allowed_headers"]
    _authz(pieces)["disallowed_headers"] = {"patterns": [{"exact": "authorization"}]}


def with_body(pieces: Tree) -> None:
    _authz(pieces)["with_request_body"] = {"max_request_bytes": 1024, "allow_partial_message": True}


def unknown_destination(pieces: Tree) -> None:
    _extensions(pieces["outbound_virtual_hosts"][0])["destination"] = "auditt"


def no_destination(pieces: Tree) -> None:
    del _extensions(pieces["outbound_virtual_hosts"][0])["destination"]


def passthrough_in_the_dark(pieces: Tree) -> None:
    said = _extensions(pieces["outbound_virtual_hosts"][0])
    del said["destination"], said["headers"]
    said["unmatched"] = "passthrough"


INBOUND_MISTAKES: dict[Change, tuple[int, str]] = {
    no_extensions: (500, "the route names no direction"),
    misspelt_direction: (500, "say direction 'inbuond'. Write inbound or outbound"),
    hidden_authorization: (401, "If the filter sets allowed_headers, list every header"),
    with_body: (500, "Remove with_request_body from ext_authz"),
}
OUTBOUND_MISTAKES: dict[Change, tuple[int, str]] = {
    unknown_destination: (403, "the destination 'auditt', which the configuration does not have"),
    no_destination: (403, "an outbound route names no destination. Write destination: NAME"),
    passthrough_in_the_dark: (500, "a passthrough route keeps headers back from us"),
}
EVERY = (*INBOUND_MISTAKES, hidden_by_disallowing, *OUTBOUND_MISTAKES)


class Plain:
    """An agent, an application, a destination, and the Envoy that their owner wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.provider, self.key = Site(), Key("k1")
        self.provider.pages = {
            "/.well-known/openid-configuration": {
                "issuer": self.provider.url,
                "jwks_uri": self.provider.url + "/keys",
            },
            "/keys": {"keys": [self.key.jwk]},
        }
        self.app, self.audit = Echo(), Echo()
        self.inbound, self.outbound, self.admin, *ports = free_ports(3 + len(EVERY))
        self.ports = dict(zip(EVERY, ports, strict=True))
        self.socket = Path(tempfile.gettempdir()) / f"pe-{os.getpid()}-{self.admin}.sock"
        self.config = folder / "a.yaml"
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        keys = self.folder / "keys"
        keys.mkdir()
        assert attache("keys", "new", "--keys", keys).returncode == 0
        self.config.write_text(json.dumps(self._configuration(keys)))
        printed = attache("envoy", "snippet", "--config", self.config, "--for", "envoy")
        assert printed.returncode == 0, printed.stderr
        self.pieces: Tree = YAML(typ="safe", pure=True).load(printed.stdout)
        self._run("attache", "run", "--config", str(self.config))
        bootstrap = self.folder / "envoy.json"
        bootstrap.write_text(json.dumps(self._bootstrap()))
        self._run("envoy", "-c", str(bootstrap), "--disable-hot-restart", "--concurrency", "1")
        try:
            until(lambda: self._ask_quietly() not in (None, 503), "Envoy and the agent answer")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait(PATIENCE)
        for site in (self.provider, self.app, self.audit):
            site.down()
        self.socket.unlink(missing_ok=True)

    def _configuration(self, keys: Path) -> Tree:
        here = {"address": "127.0.0.1", "port": self.inbound}
        return {
            "workload": {"name": "tasks", "namespace": "shop"},
            "listeners": {
                "inbound": here | {"application": f"127.0.0.1:{self.app.port}"},
                "outbound": {"port": self.outbound, "unmatched": "passthrough"},
            },
            "issuers": [
                {"name": "own", "oidc": {"issuer": self.provider.url, "audiences": ["tasks"]}}
            ],
            "routes": [
                {"path": "/open", "anonymous": True},
                {"path": "/api/**", "require": {"scopes": ["read"]}},
            ],
            "internalTokens": {
                "issuer": "https://shop.example",
                "trustDomain": "shop",
                "keys": str(keys),
            },
            "destinations": [
                {
                    "name": "audit",
                    "hosts": ["audit.shop"],
                    "address": f"127.0.0.1:{self.audit.port}",
                    "credential": {"internal": {"audience": "audit", "scopes": ["audit.write"]}},
                }
            ],
            "agent": {"socket": str(self.socket), "admin": f"127.0.0.1:{self.admin}"},
        }

    def _bootstrap(self) -> Tree:
        """What the owner of this Envoy wrote; the pieces are pasted where the comments say."""
        listeners = [self._in("good", self.inbound, self.pieces)]
        listeners.append(self._out("out", self.outbound, self.pieces))
        for change, port in self.ports.items():
            pieces = copy.deepcopy(self.pieces)
            change(pieces)
            build = self._out if change in OUTBOUND_MISTAKES else self._in
            listeners.append(build(change.__name__, port, pieces))
        clusters = [self._cluster("app", self.app.port), self._cluster("audit", self.audit.port)]
        return {
            "static_resources": {
                "listeners": listeners,
                "clusters": [*clusters, *self.pieces["clusters"]],
            }
        }

    def _in(self, name: str, port: int, pieces: Tree) -> Tree:
        host = {
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}],
            **pieces["inbound_virtual_host"],
        }
        return self._listener(name, port, pieces, pieces["inbound_connection_manager"], [host])

    def _out(self, name: str, port: int, pieces: Tree) -> Tree:
        hosts = copy.deepcopy(pieces["outbound_virtual_hosts"])
        for host in hosts:
            for route in host["routes"]:
                if "route" in route:
                    cluster = route["route"]["cluster"].removeprefix("DESTINATION_")
                    route["route"]["cluster"] = cluster
        return self._listener(name, port, pieces, pieces["outbound_connection_manager"], hosts)

    @staticmethod
    def _listener(name: str, port: int, pieces: Tree, manager: Tree, hosts: list[Tree]) -> Tree:
        router = {
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": f"{TYPES}.http.router.v3.Router"},
        }
        typed = {
            "@type": f"{TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "route_config": {"virtual_hosts": hosts},
            **manager,
            "http_filters": [*pieces["http_filters"], router],
        }
        return {
            "name": name,
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [{"filters": [{"name": MANAGER, "typed_config": typed}]}],
        }

    @staticmethod
    def _cluster(name: str, port: int) -> Tree:
        address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
        endpoints = [{"lb_endpoints": [{"endpoint": {"address": address}}]}]
        assignment = {"cluster_name": name, "endpoints": endpoints}
        return {"name": name, "type": "STATIC", "load_assignment": assignment}

    def _run(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            command = [program(name), *arguments]
            self.processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    def _ask_quietly(self) -> int | None:
        try:
            return self.ask(self.inbound, "/api/x", self.token()).status
        except (OSError, http.client.HTTPException):
            return None

    def token(self, **claims: Any) -> str:
        said = {"iss": self.provider.url, "aud": "tasks", "sub": "ann", "scope": "read"}
        return self.key.token(said | life() | claims)

    def ask(
        self, port: int, path: str, token: str | None = None, body: bytes = b"", **headers: str
    ) -> Answer:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        with closing(client):
            client.request("POST" if body else "GET", path, body or None, sent)
            return Answer(client.getresponse())

    def logged(self, sentence: str) -> list[str]:
        lines = (self.folder / "attache.log").read_text().splitlines()
        return [line for line in lines if sentence in line]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plain]:
    with Plain(tmp_path_factory.mktemp("plain")) as running:
        yield running


@pytest.mark.must(17, 19)
def test_callers_of_a_hand_written_envoy_are_decided_on(plain: Plain) -> None:
    allowed = plain.ask(plain.inbound, "/api/x", plain.token(), x_auth_subject="forged")
    assert allowed.status == 200
    assert allowed.seen("x-auth-subject") == ["ann"]
    for path, token, status in (
        ("/api/x", None, 401),
        ("/api/x", plain.token(scope="other"), 403),
        ("/api/x", plain.token(aud="others"), 401),
        ("/nowhere", plain.token(), 403),
        ("/api/%252e%252e/open", plain.token(), 400),
    ):
        assert plain.ask(plain.inbound, path, token).status == status
    anonymous = plain.ask(plain.inbound, "/open", x_auth_subject="forged")
    assert (anonymous.status, anonymous.seen("x-auth-subject")) == (200, [])


@pytest.mark.must(25, 29)
def test_calls_of_the_application_get_the_credential_of_their_destination(plain: Plain) -> None:
    inside = plain.ask(plain.inbound, "/api/x", plain.token())
    (handle,) = inside.seen("x-attache-context")
    sent = plain.ask(plain.outbound, "/log", Host="audit.shop", x_attache_context=handle)
    (authorization,) = sent.seen("authorization")
    payload = authorization.removeprefix("Bearer ").split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert (claims["aud"], claims["client_id"]) == ("audit", "shop/tasks")
    assert claims["txn"] == inside.seen("x-correlation-id")[0]
    assert sent.seen("x-attache-context") == []
    nobody = plain.ask(plain.outbound, "/log", Host="audit.shop")
    assert nobody.reason == "no_subject"
    assert plain.ask(plain.outbound, "/log", Host="elsewhere.shop").status == 403


@pytest.mark.parametrize("change", [*INBOUND_MISTAKES, *OUTBOUND_MISTAKES])
def test_a_mis_set_filter_denies_and_the_log_names_the_mistake_once(
    plain: Plain, change: Change
) -> None:
    status, sentence = (INBOUND_MISTAKES | OUTBOUND_MISTAKES)[change]
    seen = len(plain.audit.hits) + len([hit for hit in plain.app.hits if hit == "/api/mis-set"])
    host = {"Host": "audit.shop"} if change in OUTBOUND_MISTAKES else {}
    for _ in range(5):
        answer = plain.ask(plain.ports[change], "/api/mis-set", plain.token(), b"body", **host)
        assert answer.status == status
    until(lambda: plain.logged(sentence), f"a line in the log: {sentence}")
    assert len(plain.logged(sentence)) == 1  # and no flood
    assert not [hit for hit in plain.app.hits if hit == "/api/mis-set"]
    assert len(plain.audit.hits) == seen


def test_a_token_that_never_arrives_is_noticed_in_the_end(tmp_path: Path) -> None:
    """Nothing tells one hidden token from one that was not sent; twenty in a row do."""
    with Plain(tmp_path) as running:
        port = running.ports[hidden_by_disallowing]
        # A fresh agent: whoever has seen a token once knows that tokens arrive.
        running.processes[0].terminate()
        running.processes[0].wait(PATIENCE)
        running._run("attache", "run", "--config", str(running.config))

        def refused() -> bool:
            return running.ask(port, "/api/x", running.token()).status == 401

        until(refused, "the agent answers again")
        for _ in range(20):
            assert refused()
        said = "20 requests were refused for want of a token"
        until(lambda: running.logged(said), said)


def test_the_pieces_for_istio_are_valid_to_envoy_itself(plain: Plain, tmp_path: Path) -> None:
    """As Istio would merge them, into a bootstrap."""
    printed = attache("envoy", "snippet", "--config", plain.config, "--for", "istio")
    resource = YAML(typ="safe", pure=True).load(printed.stdout)
    patches = resource["spec"]["configPatches"]
    value = lambda kind, context: [  # noqa: E731
        each["patch"]["value"]
        for each in patches
        if each["applyTo"] == kind and each["match"]["context"] == context
    ]
    (cluster,) = value("CLUSTER", "SIDECAR_INBOUND")
    listeners = []
    for number, context in enumerate(("SIDECAR_INBOUND", "SIDECAR_OUTBOUND")):
        (filter_,) = value("HTTP_FILTER", context)
        manager: Tree = {}
        for merged in value("NETWORK_FILTER", context):
            manager |= {k: v for k, v in merged["typed_config"].items() if k != "@type"}
        hosts = [
            {
                "name": f"h{index}",
                "domains": [f"h{index}"],
                "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 403}}],
                **host,
            }
            for index, host in enumerate(value("VIRTUAL_HOST", context))
        ]
        assert hosts
        pieces = {"http_filters": [filter_]}
        listeners.append(plain._listener(context, 1 + number, pieces, manager, hosts))
    bootstrap = tmp_path / "istio.json"
    whole = {"static_resources": {"listeners": listeners, "clusters": [cluster]}}
    bootstrap.write_text(json.dumps(whole))
    done = subprocess.run(
        [program("envoy"), "--mode", "validate", "-c", str(bootstrap)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
