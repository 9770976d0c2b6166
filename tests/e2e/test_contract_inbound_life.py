"""Do configuration, reload, outages and rotation keep the contract (DESIGN.md §3, §8, §9)?"""

# ruff: noqa: E501 - tables are read by the row
from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.contract_inbound_tools import (
    Answer,
    Key,
    Pod,
    Site,
    attache,
    free_ports,
    life,
    load,
    until,
)

pytestmark = pytest.mark.e2e

WHOLE = """\
workload: {name: task-api, namespace: shop}
listeners:
  inbound:  {address: 0.0.0.0, port: 15006, application: 127.0.0.1:8000}
  outbound: {address: 127.0.0.1, port: 15001, mode: proxy, unmatched: deny}
issuers:
  - name: entra
    entra: {tenants: [11111111-1111-4111-8111-111111111111], audiences: ["api://task-api"]}
  - name: customers
    b2c: {authority: "https://contoso.b2clogin.com", tenant: contoso.onmicrosoft.com, policies: [B2C_1_signin], audiences: [x]}
  - name: partner
    oidc: {issuer: "https://login.partner.example", audiences: [orders], algorithms: [RS256, ES256]}
  - name: mesh
    internal: {trustDomain: shop.internal, issuers: ["https://gateway.shop.internal"], audience: task-api, jwks: {file: jwks.json}}
routes:
  - {path: /healthz, methods: [GET], anonymous: true}
  - {path: /api/tasks, methods: [POST], require: {caller: user, scopes: [access_as_user], anyRole: [Admin, Editor]}}
  - {path: "/api/tasks/{id}", methods: [DELETE], require: {anyRole: [Admin], authContext: c1}}
  - {path: "/api/**", require: {scopes: [access_as_user]}}
inbound:
  forward: original
  headers: {x-auth-name: name, x-auth-email: preferred_username}
  cors: {allowOrigins: ["https://ui.example"]}
identities:
  - name: task-api
    entra: {tenant: 11111111-1111-4111-8111-111111111111, clientId: c, secretFile: secret}
  - name: keycloak
    oauth: {tokenUrl: "https://idp.example/token", clientId: c, secretFile: secret, authMethod: client_secret_basic}
destinations:
  - name: notification
    hosts: ["notification.shop:8001"]
    address: notification.shop:8001
    credential: {obo: {identity: task-api, scopes: ["api://notification/.default"]}}
  - name: audit
    hosts: ["audit.shop:8002"]
    credential: {clientCredentials: {identity: task-api, scopes: ["api://audit/.default"]}}
  - name: billing
    hosts: ["billing.shop"]
    credential: {internal: {audience: billing, scopes: [billing.read]}}
internalTokens: {issuer: "https://gateway.shop.internal", trustDomain: shop.internal, keys: signing, lifetime: 5m, maxHops: 8}
agent: {socket: /run/attache/agent.sock, admin: 127.0.0.1:15020}
envoy: {admin: 127.0.0.1:15000}
audit: {file: stdout}
"""
SMALL = """\
workload: {name: w}
listeners: {inbound: {application: "127.0.0.1:8000"}}
routes: [{path: /, anonymous: true}]
"""
OUTBOUND = """\
workload: {name: w}
listeners:
  outbound: {}
destinations:
- name: d
  hosts: [d.svc]
  credential: none
"""


def _checked(folder: Path, text: str | bytes, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "secret").write_text("s3cr3t")
    (folder / "jwks.json").write_text("{}")
    (folder / "signing").mkdir(exist_ok=True)
    (folder / "signing" / "k.pem").write_text("k")
    content = text if isinstance(text, bytes) else text.encode()
    for name in ("secret", "jwks.json", "signing"):
        content = content.replace(f": {name}".encode(), f": {folder / name}".encode())
    (folder / "a.yaml").write_bytes(content)
    return attache("check", folder / "a.yaml", *options)


def _change(old: str, new: str) -> str:
    assert old in WHOLE
    return WHOLE.replace(old, new, 1)


VALID: dict[str, str] = {
    "the design's example": WHOLE,
    "inbound only": SMALL,
    "outbound only": OUTBOUND,
    "with a BOM-less comment and document start": "# c\n---\n" + SMALL,
    "anchors": SMALL.replace("routes: [", "routes: [{path: &p /x, anonymous: true}, ").replace("path: /,", "path: /y,"),
    "empty optional parts": SMALL + "issuers: []\ninbound: {}\ndestinations: []\n",
    "a redirecting outbound": _change("mode: proxy", "mode: redirect"),
    "durations": _change("lifetime: 5m", "lifetime: 300"),
    "public url keys": _change("jwks: {file: jwks.json}", 'jwks: {url: "https://trust.example/k"}'),
}  # fmt: skip


@pytest.mark.parametrize("name", VALID)
def test_a_valid_configuration_is_valid(tmp_path: Path, name: str) -> None:
    done = _checked(tmp_path, VALID[name])
    assert (done.returncode, done.stderr) == (0, "")


# (configuration, what a finding must mention)
INVALID: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "empty": ("", ()),
    "a list": ("- a\n", ()),
    "no yaml": ("workload: {name: [\n", ("line",)),
    "tabs": ("workload:\n\tname: x\n", ()),
    "binary": (b"\x00\xff\xfe", ()),
    "two documents": (SMALL + "---\n" + SMALL, ()),
    "a key twice": (SMALL + "workload: {name: v}\n", ("workload",)),
    "a python tag": (SMALL + "audit: !!python/object:os.system {}\n", ()),
    "unknown key": (_change("workload: {", "workload: {nmae: x, "), ("workload.nmae", ":1")),
    "unknown key deep": (_change("caller: user", "callers: user"), ("routes[1].require.callers",)),
    "snake case": (_change("clientId: c", "client_id: c"), ("client_id",)),
    "dangling identity": (_change("obo: {identity: task-api", "obo: {identity: nobody"), ("nobody",)),
    "no internalTokens": (_change("internalTokens: {", "x-i: {"), ("internalTokens",)),
    "forward internal without tokens": (SMALL + "inbound: {forward: internal}\n", ("inbound.forward", "internalTokens")),
    "http issuer": (_change("https://login.partner", "http://login.partner"), ("https",)),
    "no audience": (_change("audiences: [orders], ", ""), ("audiences",)),
    "empty audience": (_change("audiences: [orders]", "audiences: []"), ("audiences",)),
    "symmetric algorithm": (_change("[RS256, ES256]", "[RS256, HS256]"), ("algorithms",)),
    "algorithm none": (_change("[RS256, ES256]", "[none]"), ("algorithms",)),
    "no tenant": (_change("tenants: [11111111-1111-4111-8111-111111111111], ", ""), ("allowAnyTenant",)),
    "tenant no guid": (_change("tenants: [11111111-1111-4111-8111-111111111111]", "tenants: [contoso]"), ("GUID",)),
    "two kinds of issuer": (_change("oidc: {", "entra: {}\n    oidc: {"), ("issuers[2]",)),
    "port is text": (_change("port: 15006", 'port: "15006"'), ("listeners.inbound.port",)),
    "port too high": (_change("port: 15006", "port: 70000"), ("listeners.inbound.port",)),
    "port taken": (_change("port: 15006", "port: 15001"), ("15001",)),
    "methods is a text": (_change("methods: [GET]", "methods: GET"), ("routes[0].methods",)),
    "lower-case method": (_change("methods: [GET]", "methods: [get]"), ("GET",)),
    "anonymous and require": (_change("anonymous: true", "anonymous: true, require: {}"), ("routes[0]",)),
    "anonymous is text": (_change("anonymous: true", 'anonymous: "yes"'), ("routes[0].anonymous",)),
    "path without slash": (_change("path: /healthz", "path: healthz"), ("/healthz",)),
    "stars in the middle": (_change('"/api/**"', '"/a/**/b"'), ("routes[3].path",)),
    "inline secret": (_change("secretFile: secret", "secret: hunter2"), ("identities[0].entra.secret",)),
    "pem as secret": (_change("secretFile: secret", 'secretFile: "-----BEGIN X"'), ("identities[0]",)),
    "admin outside": (_change("admin: 127.0.0.1:15020", "admin: 0.0.0.0:15020"), ("agent.admin", "127.0.0.1")),
    "reserved header": (_change("x-auth-name: name", "x-auth-roles: name"), ("inbound.headers",)),
    "cors star": (_change("https://ui.example", "*"), ("allowOrigins",)),
    "issuer twice": (_change("name: partner", "name: mesh"), ("mesh",)),
    "host twice": (_change("audit.shop:8002", "billing.shop:80"), ("billing.shop",)),
    "b2c with obo": (_change("entra: {tenants: [11111111-1111-4111-8111-111111111111], audiences: [\"api://task-api\"]}",
                             "oidc: {issuer: \"https://z.example\", audiences: [z]}"), ("B2C",)),
    "no listener": ("workload: {name: x}\nlisteners: {}\n", ("listeners",)),
    "route without issuer": (SMALL.replace(", anonymous: true", ""), ("routes[0]", "issuer")),
    "plain text to the world": (_change("hosts: [\"billing.shop\"]", 'hosts: ["billing.example.com"]'), ("tls",)),
    "lifetime of a day": (_change("lifetime: 5m", "lifetime: 1d"), ("lifetime",)),
    "no such file": (_change("secretFile: secret", "secretFile: /nowhere/x"), ("/nowhere/x",)),
}  # fmt: skip


@pytest.mark.must(43, 49)
@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_configuration_says_where_why_and_what_to_do(tmp_path: Path, name: str) -> None:
    text, mentioned = INVALID[name]
    done = _checked(tmp_path, text)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "a.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr
    for words in mentioned:
        assert words in done.stderr
    for verb in (
        (("run",), ("envoy", "bootstrap"), ("envoy", "static")) if name == "no yaml" else ()
    ):
        again = attache(*verb, "--config", tmp_path / "a.yaml")
        assert (again.returncode, "line" in again.stderr) == (2, True)


def test_the_schema_is_one_that_refuses_unknown_keys() -> None:
    done = attache("schema")
    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert document["additionalProperties"] is False
    assert {"workload", "listeners", "routes"} <= set(document["properties"])


class World:
    """One provider and a configuration that trusts it."""

    def __init__(self) -> None:
        self.idp, self.keys = Site(), [Key("k1")]
        self.publish()

    def publish(self, *keys: Key) -> None:
        self.keys = list(keys) or self.keys
        self.idp.pages |= {
            "/.well-known/openid-configuration": {"issuer": self.idp.url, "jwks_uri": self.idp.url + "/k"},
            "/k": {"keys": [key.jwk for key in self.keys]},
        }  # fmt: skip

    def configuration(self, **changes: Any) -> dict[str, Any]:
        oidc = {"issuer": self.idp.url, "audiences": ["a"]}
        routes = [{"path": "/open", "anonymous": True}, {"path": "/api/**"}]
        return {"issuers": [{"name": "x", "oidc": oidc}], "routes": routes} | changes

    def token(self, key: Key | None = None, **claims: Any) -> str:
        base = {"iss": self.idp.url, "aud": "a", "sub": "s", "azp": "c", "scope": "r", **life()}
        return (key or self.keys[0]).token(base | claims)


@pytest.fixture
def world() -> Any:
    made = World()
    yield made
    made.idp.down()


def _good(answers: list[object], *statuses: int) -> None:
    bad = [a for a in answers if not isinstance(a, Answer) or a.status not in statuses]
    assert not bad, [(getattr(a, "status", a), getattr(a, "body", b"")) for a in bad[:3]]
    assert len(answers) > 20


@pytest.mark.must(43)
def test_a_changed_file_is_taken_over_live_and_a_broken_one_is_not(
    world: World, tmp_path: Path
) -> None:
    with Pod(tmp_path / "p", world.configuration()) as pod:
        until(pod.ready, "the keys")
        token = world.token()
        with load(lambda: pod.ask("/api/x", token)) as answers:
            routes = [{"path": "/new", "anonymous": True}, {"path": "/api/**"}]
            assert pod.ask("/new").status == 403
            pod.write(world.configuration(routes=routes))
            until(lambda: pod.ask("/new").status == 200, "the new route")
            assert pod.ask("/open").status == 403
            kept = pod.config.read_text()
            pod.config.write_text(kept.replace('"routes"', '"rotues"'))
            until(lambda: "rotues" in (pod.folder / "attache.err").read_text(), "a complaint")
            assert (pod.ask("/new").status, pod.ask("/open").status) == (200, 403)
            # a ConfigMap's way: the name is a link, and what it points to is swapped
            (tmp_path / "v1").mkdir()
            other = world.configuration(inbound={"forward": "none"})
            pod.write(other)
            pod.config.rename(tmp_path / "v1" / "a.yaml")
            (tmp_path / "link").symlink_to(tmp_path / "v1" / "a.yaml")
            (tmp_path / "link").replace(pod.config)
            until(lambda: pod.ask("/open").status == 200, "the linked file")
            until(lambda: not pod.ask("/api/x", token).seen("authorization"), "forward: none")
        _good(answers, 200)


def test_another_issuer_and_another_port_are_taken_over_without_a_restart(
    world: World, tmp_path: Path
) -> None:
    second = World()
    with Pod(tmp_path / "p", world.configuration()) as pod:
        until(pod.ready, "the keys")
        known, fresh = world.token(), second.token()
        assert pod.ask("/api/x", fresh).reason == "untrusted_issuer"
        pod.write(second.configuration())
        until(lambda: pod.ask("/api/x", fresh).status == 200, "the new issuer")
        assert pod.ask("/api/x", known).reason == "untrusted_issuer"  # though it was verified
        (port,) = free_ports(1)
        pod.write(second.configuration(), port=port)
        until(lambda: pod.answers(port), "the new port")
        assert pod.ask("/api/x", fresh, port=port).status == 200
    second.idp.down()


@pytest.mark.must(38, 40, 44)
def test_a_cold_start_without_the_provider_recovers_by_itself(world: World, tmp_path: Path) -> None:
    world.idp.down()
    with Pod(tmp_path / "p", world.configuration()) as pod:
        assert pod.ask("/open").status == 200
        answer = pod.ask("/api/x", world.token())
        assert (answer.status, answer.reason) == (503, "issuer_unavailable")
        assert (pod.page("/livez") or (0,))[0] == 200
        status, text = pod.page("/readyz") or (0, "")
        assert (status, "x" in text) == (503, True)
        world.idp.up()
        until(lambda: pod.ask("/api/x", world.token()).status == 200, "recovery")
        until(pod.ready, "readiness")
        # and when it goes again, what is known serves on
        world.idp.down()
        assert pod.ask("/api/x", world.token()).status == 200
        assert pod.ready()
        assert pod.ask("/api/x", world.token(Key("new"))).status in (401, 503)


@pytest.mark.must(15, 34, 35)
def test_keys_rotate_and_a_verified_token_does_not_outlive_them(
    world: World, tmp_path: Path
) -> None:
    with Pod(tmp_path / "p", world.configuration()) as pod:
        until(pod.ready, "the keys")
        old, new = world.keys[0], Key("k2")
        brief = world.token(exp=int(time.time()) - 57)  # within the tolerance for 3 s more
        assert pod.ask("/api/x", brief).status == 200
        world.publish(old, new)
        assert pod.ask("/api/x", world.token(new)).status == 200  # the unknown kid is looked up
        before = len(world.idp.hits)
        for _ in range(20):
            assert pod.ask("/api/x", world.token(Key("k1x", "EC"))).reason in (
                "unknown_key",
                "invalid_token",
            )
        assert len(world.idp.hits) <= before + 2  # not one fetch for each forged kid
        world.idp.pages["/k"] = b"<html>busy</html>"
        assert pod.ask("/api/x", world.token(new)).status == 200
        until(lambda: pod.ask("/api/x", brief).reason == "expired_token", "expiry while cached")


def test_strangers_at_the_edge_get_new_ids_and_no_internal_token_is_taken(
    world: World, tmp_path: Path
) -> None:
    mesh = Key("g", "EC", workload="w")
    (tmp_path / "mesh.json").write_text(json.dumps({"keys": [mesh.jwk]}))
    inner = {"trustDomain": "m", "issuers": ["https://gw"], "audience": "a", "jwks": {"file": str(tmp_path / "mesh.json")}}  # fmt: skip
    issuers = [*world.configuration()["issuers"], {"name": "mesh", "internal": inner}]
    config = world.configuration(issuers=issuers, listeners={"edge": True})
    with Pod(tmp_path / "p", config) as pod:
        until(pod.ready, "the keys")
        theirs = {"x-correlation-id": "evil-1", "x-request-id": "evil-2", "baggage": "evil=3", "tracestate": "evil=4",
                  "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}  # fmt: skip
        answer = pod.ask("/api/x", world.token(), headers=theirs)
        assert answer.status == 200
        assert b"evil" not in answer.body
        assert b"0af7651916cd43dd8448eb211c80319c" not in answer.body
        token = mesh.token({"iss": "https://gw", "aud": "a", "sub": "s", "client_id": "w", "jti": "j", "txn": "t", "hops": 1, **life(300)}, typ="at+jwt")  # fmt: skip
        assert pod.ask("/api/x", token).reason == "untrusted_issuer"
        assert "evil" not in pod.ask("/nowhere", headers=theirs).headers["x-correlation-id"]


def test_the_application_may_see_an_internal_token_instead(world: World, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "signing").mkdir()
    private = Key("k", "EC").private.private_bytes(serialization.Encoding.PEM, *form)
    (tmp_path / "signing" / "k.pem").write_bytes(private)
    internal = {"issuer": "https://gw", "trustDomain": "m", "keys": str(tmp_path / "signing"), "publish": True}  # fmt: skip
    config = world.configuration(internalTokens=internal, inbound={"forward": "internal"})
    with Pod(tmp_path / "p", config) as pod:
        until(pod.ready, "the keys")
        token = world.token()
        answer = pod.ask("/api/x", token, headers={"x-correlation-id": "t-1"})
        assert answer.status == 200, answer.body
        (shown,) = answer.seen("authorization")
        assert token not in shown
        head, claims = (_json(part) for part in shown.removeprefix("Bearer ").split(".")[:2])
        assert (head["typ"], head["alg"]) == ("at+jwt", "ES256")
        assert (claims["iss"], claims["txn"], claims["scope"]) == ("https://gw", "t-1", "r")
        assert 0 < claims["exp"] - claims["iat"] <= 300
        assert claims["client_id"] == "court/judged"
        published = pod.ask("/.well-known/jwks.json")
        assert (published.status, published.json["keys"][0]["kid"]) == (200, head["kid"])
        assert pod.ask("/open", token).seen("authorization") == []  # nobody verified it there


def _json(part: str) -> Any:
    import base64

    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
