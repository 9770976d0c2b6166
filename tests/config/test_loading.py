"""A bad configuration is refused with the line, the path, the reason and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from agent.config.document import MAX_BYTES
from agent.config.loading import ConfigInvalid, Finding, parse

EXAMPLE = Path(__file__).with_name("example.yaml")
GOOD = EXAMPLE.read_text()
FILE = "attache.yaml"


class Bad(NamedTuple):
    """*old* becomes *new*; the line to name ends in `#!`, or is the first changed one."""

    old: str
    new: str
    path: str
    reason: str
    remedy: str
    above: int = 0
    """How many lines above the change the object begins, where the object as a whole is wrong."""


ONE_BAD_PLACE = {
    # keys
    "an unknown key": Bad(
        "inbound:\n  forward", "inbound:\n  colour: red #!\n  forward",
        "inbound.colour", "unknown key 'colour'", "forward, headers, cors",
    ),
    "an unknown key at the top": Bad(
        "audit: {file", "auditing: {} #!\naudit: {file",
        "auditing", "unknown key", "did you mean 'audit'?",
    ),
    "a misspelt key": Bad(
        "      clientId: 44", "      clientID: 44", "identities[0].entra.clientId",
        "'clientId' is missing", "write clientId", 2,
    ),
    "a snake_case key": Bad(
        "  maxHops: 8", "  max_hops: 8 #!",
        "internalTokens.max_hops", "unknown key 'max_hops'", "did you mean 'maxHops'?",
    ),
    "a misspelt key in a list in a list": Bad(
        "    methods: [POST]", "    method: [POST] #!",
        "routes[1].method", "unknown key 'method'", "did you mean 'methods'?",
    ),
    "a missing key": Bad(
        "  inbound: {address: 0.0.0.0, port: 15006, application: 127.0.0.1:8000}",
        "  inbound: {address: 0.0.0.0, port: 15006} #!",
        "listeners.inbound.application", "'application' is missing", "write application",
    ),
    "no workload": Bad(
        "workload: {name: task-api, namespace: shop}\n", "", "workload", "is missing", "workload: ",
    ),
    "a key twice": Bad(
        "envoy: {admin: 127.0.0.1:15000}",
        "envoy: {admin: 127.0.0.1:15000}\nenvoy: {admin: 127.0.0.1:15099} #!",
        "envoy", "written twice, first on line 66", "remove one",
    ),
    "a login as nobody": Bad(
        '  - {path: "/api/**", require', '  - {path: "/api/**", login: {}, require',
        "routes[3].login.identity", "is missing", "identity",
    ),
    "a merge key": Bad(
        "inbound:\n  forward", "inbound:\n  <<: {} #!\n  forward",
        "inbound.<<", "merge keys", "write the keys themselves",
    ),
    # secrets
    "a client secret in plain text": Bad(
        "      secretFile: /secrets/client-secret", "      clientSecret: hunter2-hunter2 #!",
        "identities[0].entra.clientSecret", "unknown key",
        "secrets are only ever references to files; write secretFile",
    ),
    "a secret under another name": Bad(
        "      secretFile: /secrets/keycloak",
        "      secretFile: /secrets/keycloak\n      password: hunter2-hunter2 #!",
        "identities[1].oauth.password", "unknown key", "only ever references to files",
    ),
    "a private key in place of its file": Bad(
        "  keys: /secrets/signing", '  keys: "-----BEGIN PRIVATE KEY-----hunter2-hunter2" #!',
        "internalTokens.keys", "key material", "write the path",
    ),
    "a password in a URL": Bad(
        '      tokenUrl: "https://sso', '      tokenUrl: "https://me:hunter2-hunter2@sso',
        "identities[1].oauth.tokenUrl", "user information", "remove",
    ),
    "a password in an address": Bad(
        "    address: notification.shop:8001", "    address: me:hunter2-hunter2@notification:1 #!",
        "destinations[0].address", "user information", "host:port",
    ),
    # types
    "a list where a mapping belongs": Bad(
        "inbound:\n  forward: original", "inbound: [] #!\nxinbound:\n  forward: original",
        "inbound", "must be a mapping", "keys here are forward, headers, cors",
    ),
    "a mapping where a list belongs": Bad(
        "    methods: [POST]", "    methods: {POST: true} #!",
        "routes[1].methods", "must be a list", "methods: [first, second]",
    ),
    "a text where a list belongs": Bad(
        "    methods: [POST]", "    methods: POST #!",
        "routes[1].methods", "must be a list", "methods: [first, second]",
    ),
    "a number where text belongs": Bad(
        "      clientId: task-api", "      clientId: 4711 #!",
        "identities[1].oauth.clientId", "must be text", "quotes",
    ),
    "a quoted port": Bad(
        "port: 15006", 'port: "15006"', "listeners.inbound.port", "whole number", "without quotes",
    ),
    "yes, which YAML 1.2 reads as text": Bad(
        "methods: [GET], anonymous: true", "methods: [GET], anonymous: yes",
        "routes[0].anonymous", "must be true or false", "true or false",
    ),
    "a number for a path": Bad(
        "  keys: /secrets/signing", "  keys: 7 #!",
        "internalTokens.keys", "must be a file's path", "path",
    ),
    "nothing where a mapping belongs": Bad(
        "workload: {name: task-api, namespace: shop}", "workload: #!",
        "workload", "must be a mapping", "name, namespace",
    ),
    # values
    "an unknown choice": Bad(
        "  forward: original", "  forward: all #!",
        "inbound.forward", "not one of the choices", "'original', 'internal' or 'none'",
    ),
    "a symmetric algorithm": Bad(
        "algorithms: [RS256, ES256]", "algorithms: [RS256, HS256]",
        "issuers[2].oidc.algorithms[1]", "not one of the choices", "'RS256'",
    ),
    "a port too large": Bad(
        "port: 15006", "port: 70000", "listeners.inbound.port", "out of bounds", "at most 65535",
    ),
    "a name with a space": Bad(
        "  - name: partner", "  - name: our partner #!",
        "issuers[2].name", "usable name", "letters",
    ),
    "an empty list of audiences": Bad(
        '      audiences: ["api://task-api"]', "      audiences: [] #!",
        "issuers[0].entra.audiences", "empty", "at least one",
    ),
    "an empty text": Bad(
        "      audience: task-api", '      audience: "" #!',
        "issuers[3].internal.audience", "empty", "at least one",
    ),
    "a duration without meaning": Bad(
        "  lifetime: 5m", "  lifetime: soon #!",
        "internalTokens.lifetime", "'soon' is not a duration", "30s, 5m or 1h",
    ),
    "a duration of nothing": Bad(
        "  lifetime: 5m", "  lifetime: 0s #!",
        "internalTokens.lifetime", "out of bounds", "greater than 0",
    ),
    "an endless duration": Bad(
        "  lifetime: 5m", "  lifetime: .inf #!",
        "internalTokens.lifetime", "longer than a year", "30s, 5m or 1h",
    ),
    "a lifetime beyond an hour": Bad(
        "  lifetime: 5m", "  lifetime: 2h #!",
        "internalTokens.lifetime", "out of bounds", "at most 3600",
    ),
    "an http issuer": Bad(
        'issuer: "https://login.partner.example"', 'issuer: "http://login.partner.example"',
        "issuers[2].oidc.issuer", "plain http", "write https://",
    ),
    "an http authority for msal": Bad(
        "      clientId: 44444444",
        '      authority: "http://localhost:9000"\n      clientId: 44444444',
        "identities[0].entra", "https authorities only", "give the local server TLS", 2,
    ),
    "an issuer that is no URL": Bad(
        'issuer: "https://login.partner.example"', "issuer: login.partner.example",
        "issuers[2].oidc.issuer", "not an absolute URL", "https://host/path",
    ),
    "a URL with a broken port": Bad(
        '"https://contoso.b2clogin.com"', '"https://contoso.b2clogin.com:99999" #!',
        "issuers[1].b2c.authority", "not a URL", "https://host/path",
    ),
    "a tenant by name": Bad(
        "22222222-bbbb-4222-8222-222222222222]", "contoso.com] #!",
        "issuers[0].entra.tenants[1]", "'contoso.com' is not a tenant id", "GUID",
    ),
    "an address without a port": Bad(
        "application: 127.0.0.1:8000", "application: 127.0.0.1",
        "listeners.inbound.application", "'127.0.0.1' has no valid port", "host:port",
    ),
    "a bracket in an address": Bad(
        "application: 127.0.0.1:8000", 'application: "[::1:8000"',
        "listeners.inbound.application", "is not an address", "host:port",
    ),
    "a host with a path": Bad(
        'hosts: ["audit.shop:8002"]', 'hosts: ["audit.shop", "http://audit.shop/x"]',
        "destinations[1].hosts[1]", "is not an address", "host:port",
    ),
    "a listener on a name": Bad(
        "address: 0.0.0.0", "address: localhost",
        "listeners.inbound.address", "not an IP address", "write 0.0.0.0",
    ),
    "a relative socket": Bad(
        "socket: /run/attache/agent.sock", "socket: run/agent.sock",
        "agent.socket", "relative", "begin it with /",
    ),
    "a socket's path that the kernel cannot hold": Bad(
        "socket: /run/attache/agent.sock", f"socket: /{'x' * 120}",
        "agent.socket", "at most 103 bytes", "shorten",
    ),
    "a path that does not begin with a slash": Bad(
        "  - path: /api/tasks\n", "  - path: api/tasks #!\n",
        "routes[1].path", "does not start with /", "write /api/tasks",
    ),
    "a wildcard in the middle": Bad(
        '"/api/**"', '"/api/**/x"', "routes[3].path", "is no segment", "only as the last one",
    ),
    "a method in small letters": Bad(
        "    methods: [POST]", "    methods: [PUT, post] #!",
        "routes[1].methods[1]", "'post' is not a method", "capitals",
    ),
    "a route that contradicts another": Bad(
        '  - {path: "/api/**"',
        '  - {path: "/api/tasks/{n}", methods: [DELETE]}\n  - {path: "/api/**"',
        "routes[3]", "routes[2] is for the same requests", "remove one of the two",
    ),
    "a claim's value that is no value": Bad(
        "authContext: c1", "claims: {org: {unit: x}}",
        "routes[2].require.claims.org", "not text, a number", "dotted name",
    ),
    "a claim that nothing satisfies": Bad(
        "authContext: c1", "claims: {org: []}",
        "routes[2].require.claims.org", "no value would ever do", "at least one",
    ),
    "a claim whose value is missing": Bad(
        "authContext: c1", "claims: {org: [a, null]}",
        "routes[2].require.claims.org", "not text, a number", "list of them",
    ),
    "a claim that is no number": Bad(
        "authContext: c1", "claims: {org: .inf}",
        "routes[2].require.claims.org", "no token holds such a number", "finite",
    ),
    "an acr with a space": Bad(
        "authContext: c1", 'acr: ["gold silver"]',
        "routes[2].require.acr[0]", "is no value of acr", "without spaces",
    ),
    "an age of nothing": Bad(
        "authContext: c1", "maxAge: 0s",
        "routes[2].require.maxAge", "out of bounds", "greater than 0",
    ),
    "a host that is no IPv6 address": Bad(
        "methods: [DELETE]", 'methods: [DELETE], hosts: ["[::1::2]"]',
        "routes[2].hosts[0]", "not an IPv6 address", "as [::1]",
    ),
    "an origin as no browser writes it": Bad(
        '["https://shop.example"]', '["https://Shop.example:443"]',
        "inbound.cors.allowOrigins[0]", "browsers write", "https://shop.example",
    ),
    "no origin": Bad(
        '["https://shop.example"]', "[]",
        "inbound.cors", "no origin may call", "remove cors",
    ),
    "a wildcard origin": Bad(
        '["https://shop.example"]', '["*"]',
        "inbound.cors.allowOrigins[0]", "'*' is no origin", "scheme://host",
    ),
    "a claim header in the place of ours": Bad(
        "x-auth-name: name", "x-auth-subject: name",
        "inbound.headers", "'x-auth-subject' is not usable", "of your own",
    ),
    "a claim header that steers Envoy": Bad(
        "x-auth-name: name", "x-envoy-original-path: name",
        "inbound.headers", "not usable", "of your own",
    ),
    # combinations inside one object
    "an anonymous route that requires something": Bad(
        "methods: [GET], anonymous: true", "methods: [GET], anonymous: true, require: {}",
        "routes[0]", "contradict each other", "remove one",
    ),
    "an issuer of two kinds": Bad(
        "    oidc: {issuer", "    internal: {trustDomain: d, issuers: [i], audience: a, jwks: "
        "{file: /j}}\n    oidc: {issuer",
        "issuers[2]", "exactly one of entra, b2c, oidc, internal", "write one of them", 1,
    ),
    "an identity with two proofs": Bad(
        "      secretFile: /secrets/client-secret",
        "      secretFile: /secrets/client-secret\n      certificateFile: /secrets/c.pem",
        "identities[0].entra", "exactly one of secretFile, certificateFile", "write one of them", 4,
    ),
    "no tenant at all": Bad(
        "      tenants: [11111111-aaaa-4111-8111-111111111111, "
        "22222222-bbbb-4222-8222-222222222222]\n", "",
        "issuers[0].entra", "no tenant is allowed", "allowAnyTenant", 1,
    ),
    "listed tenants and any tenant": Bad(
        "      tenants: [11", "      allowAnyTenant: true\n      tenants: [11",
        "issuers[0].entra", "contradict", "remove one", 1,
    ),
    "a stored token that nobody keeps": Bad(
        "credential: {internal: {audience: billing, scopes: [billing.read]}}",
        "credential: {refreshToken: {token: crm}} #!",
        "destinations[2].credential.refreshToken.token", "'crm' does not exist", "storedTokens",
    ),
    "On-Behalf-Of for an app": Bad(
        "credential: {obo: {identity", "credential: {obo: {subject: app, identity",
        "destinations[0].credential.obo.subject", "not one of the choices", "'user'",
    ),
    "a credential that is only a word and needs more": Bad(
        'credential: {clientCredentials: {identity: task-api, scopes: ["api://audit/.default"]}}',
        "credential: clientCredentials #!",
        "destinations[1].credential.clientCredentials.identity", "is missing", "identity: ",
    ),
    "subject beside a kind that is no mapping": Bad(
        "credential: {internal: {audience: billing, scopes: [billing.read]}}",
        "credential: {internal: billing, subject: user} #!",
        "destinations[2].credential.internal", "must be a mapping", "audience",
    ),
    "subject said twice": Bad(
        "credential: {internal: {audience: billing, scopes: [billing.read]}}",
        "credential: {internal: {audience: billing, subject: app}, subject: user} #!",
        "destinations[2].credential", "said twice", "inside the kind",
    ),
    # combinations across the file
    "a dangling identity": Bad(
        "{clientCredentials: {identity: task-api,", "{clientCredentials: {identity: task-app,",
        "destinations[1].credential.clientCredentials.identity",
        "identity 'task-app' does not exist", "write one of keycloak, task-api",
    ),
    "On-Behalf-Of by a client that is not Entra's": Bad(
        "{obo: {identity: task-api,", "{obo: {identity: keycloak,",
        "destinations[0].credential.obo.identity", "needs an entra identity", "name one",
    ),
    "a name twice": Bad(
        "  - name: keycloak", "  - name: task-api #!",
        "identities[1].name", "'task-api' is used twice", "rename one",
    ),
    "one host for two destinations": Bad(
        '    hosts: ["billing.shop"]', '    hosts: [billing.shop, "AUDIT.shop:8002"] #!',
        "destinations[2].hosts[1]", "leads to 'audit' already", "remove it",
    ),
    "one issuer in two entries": Bad(
        'issuers: ["https://gateway.shop.internal"]', 'issuers: ["https://login.partner.example"]',
        "issuers[3]", "is trusted by 'partner' already", "merge", 3,
    ),
    "an admin port for everyone": Bad(
        "admin: 127.0.0.1:15020", "admin: 0.0.0.0:15020",
        "agent.admin", "reached from outside the pod", "127.0.0.1",
    ),
    "one port for two": Bad(
        "admin: 127.0.0.1:15020", "admin: 127.0.0.1:15000",
        "envoy.admin", "port 15000 is taken by agent.admin", "choose another", -1,
    ),
    "a token in plain text to the world": Bad(
        '    hosts: ["audit.shop:8002"]', '    hosts: ["audit.example.com"]',
        "destinations[1]", "plain text to 'audit.example.com'", "tls: {}", 1,
    ),
}  # fmt: skip


def findings(text: str | bytes) -> tuple[Finding, ...]:
    content = text.encode() if isinstance(text, str) else text
    with pytest.raises(ConfigInvalid) as caught:
        parse(content, FILE)
    return caught.value.findings


def expected_line(text: str) -> int:
    """The marked line, or else the first one that is not as in the example."""
    lines = text.split("\n")
    marks = [number for number, line in enumerate(lines, 1) if line.endswith("#!")]
    pairs = enumerate(zip(lines, GOOD.split("\n"), strict=False), 1)
    return marks[0] if marks else next(number for number, (new, old) in pairs if new != old)


@pytest.mark.must(43)
@pytest.mark.parametrize("bad", ONE_BAD_PLACE.values(), ids=ONE_BAD_PLACE)
def test_a_bad_place_is_named_by_line_path_reason_and_remedy(bad: Bad) -> None:
    assert GOOD.count(bad.old) == 1
    text = GOOD.replace(bad.old, bad.new)
    found = [finding for finding in findings(text) if finding.path == bad.path]
    assert len(found) == 1, findings(text)
    assert bad.reason in found[0].reason
    assert bad.remedy in found[0].remedy
    assert found[0].file == FILE
    assert found[0].line == expected_line(text) - bad.above


@pytest.mark.parametrize("bad", ONE_BAD_PLACE.values(), ids=ONE_BAD_PLACE)
def test_a_finding_never_repeats_a_secret(bad: Bad) -> None:
    text = GOOD.replace(bad.old, bad.new)
    assert "hunter2" not in "\n".join(map(str, findings(text)))


NOT_A_DOCUMENT = {
    "nothing": (b"", 1, "empty", "workload"),
    "white space": (b" \n\n", 1, "empty", "workload"),
    "a comment only": (b"# later\n", 1, "no value", "workload"),
    "a list": (b"- a\n- b\n", 1, "no mapping", "workload"),
    "a text": (b"\nhello", 2, "no mapping", "workload"),
    "an open bracket": (b"a: 1\nb: [1, 2\n", 3, "not YAML", "brackets"),
    "a tab": (b"a:\n\tb: 1\n", 2, "not YAML", "indentation"),
    "a second colon": (b"a: 1\nb: c: d\n", 2, "not YAML", "quotes"),
    "an unclosed quote": (b"a: 1\nb: 'x\n", 3, "not YAML", "quotes"),
    "Latin-1": ("a: 1\nb: caf\xe9\n".encode("latin-1"), 2, "not UTF-8", "UTF-8"),
    "UTF-16": ("a: 1\n".encode("utf-16"), 1, "not UTF-8", "UTF-8"),
    "a NUL": (b"a: 1\nb: \x00\n", 2, "control character", "this line"),
    "an impossible escape": (b'a: "\\U00110000"\n', 1, "impossible escape", "this line"),
    "half a surrogate pair": (b'a: 1\nb: "\\ud800"\n', 2, "surrogate", "all of it"),
    "half a surrogate pair in a key": (b'"\\ud800": 1\n', 1, "surrogate", "all of it"),
    "two documents": (b"a: 1\n---\nb: 2\n", 2, "second document", "one only"),
    "YAML 1.1": (b"%YAML 1.1\n---\na: 1\n", 2, "not YAML 1.2", "%YAML"),
    "a tag": (b"a: 1\nb: !!python/object:os.system x\n", 2, "tag ", "remove the tag"),
    "a harmless tag": (b"a: !!str 1\n", 1, "tag ", "remove the tag"),
    "an unknown alias": (b"a: *b\n", 1, "no anchor", "write the value"),
    "an alias to itself": (b"a: &a [*a]\n", 1, "no anchor", "write the value"),
    "a list as a key": (b"a: 1\n? [b]\n: 2\n", 2, "not plain text", "key: value"),
    "too deep": (b"a: " + b"[" * 40 + b"]" * 40, 1, "more than 32 levels", "flatter"),
    "deep beyond any stack": (b"[" * 900_000, 1, "more than 32 levels", "flatter"),
    "too large": (b"#" * (MAX_BYTES + 1), 1, "larger than 1 MiB", "remove"),
    "a billion laughs": (
        b"a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
        + b"".join(
            f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n".encode() for n in range(1, 10)
        ),
        5,
        "more than 50000 values",
        "fewer aliases",
    ),
}


@pytest.mark.must(42)
@pytest.mark.parametrize("case", NOT_A_DOCUMENT.values(), ids=NOT_A_DOCUMENT)
def test_what_is_no_bounded_document_of_yaml_is_refused(case: tuple[bytes, int, str, str]) -> None:
    content, line, reason, remedy = case
    (finding,) = findings(content)
    assert reason in finding.reason
    assert remedy in finding.remedy
    assert finding.line == line


def test_all_problems_are_reported_at_once_in_the_order_of_lines() -> None:
    text = (
        GOOD.replace("port: 15006", "port: x")
        .replace("  forward: original", "  forward: all")
        .replace("  maxHops: 8", "  maxHops: 8\n  maxHops: 9")
        .replace("    methods: [POST]", "    methods: [post, get]")
    )
    found = findings(text)
    assert [finding.path for finding in found] == [
        "listeners.inbound.port",
        "routes[1].methods[0]",
        "routes[1].methods[1]",
        "inbound.forward",
        "internalTokens.maxHops",
    ]
    assert [finding.line for finding in found] == sorted(finding.line for finding in found)


def test_all_contradictions_between_parts_are_reported_at_once() -> None:
    text = GOOD.replace("identity: task-api", "identity: gone").replace(
        "  forward: original", "  forward: internal"
    )
    text = text[: text.index("internalTokens:")] + text[text.index("agent:") :]
    assert {finding.path for finding in findings(text)} == {
        "inbound.forward",
        "destinations[0].credential.obo.identity",
        "destinations[1].credential.clientCredentials.identity",
        "destinations[2].credential.internal",
    }


def test_any_tenant_beside_a_listed_one_of_the_same_authority_is_refused() -> None:
    any_tenant = "  - {name: all, entra: {allowAnyTenant: true, audiences: [a]}}\n"
    for text in (
        GOOD.replace("issuers:\n  - name: entra", f"issuers:\n{any_tenant}  - name: entra"),
        GOOD.replace("routes:\n", f"{any_tenant}routes:\n"),
    ):
        (finding,) = findings(text)
        assert "takes any" in finding.reason
    sovereign = any_tenant.replace("{allow", '{authority: "https://login.chinacloudapi.cn", allow')
    parse(GOOD.replace("routes:\n", f"{sovereign}routes:\n").encode(), FILE)


def test_two_b2c_entries_of_one_directory_are_refused() -> None:
    entry = GOOD[GOOD.index("  - name: customers") : GOOD.index("  - name: partner")]
    text = GOOD.replace(
        "  - name: partner", entry.replace("customers", "more") + "  - name: partner"
    )
    (finding,) = findings(text)
    assert finding.path == "issuers[2]"
    assert "'customers'" in finding.reason


def test_a_finding_prints_as_file_line_path_reason_and_remedy() -> None:
    text = GOOD.replace("{obo: {identity: task-api,", "{obo: {identity: x,")
    (finding,) = findings(text)
    line = text[: text.index("identity: x,")].count("\n") + 1
    assert str(finding) == (
        f"attache.yaml:{line} destinations[0].credential.obo.identity: identity 'x' does not "
        "exist. Remedy: write one of keycloak, task-api, or add it."
    )


def test_a_key_cannot_forge_a_line_of_output() -> None:
    text = GOOD + '"x\\nattache.yaml:1 all is well\\u202e": 1\n'
    (finding,) = findings(text)
    assert "\n" not in str(finding)
    assert str(finding).isprintable()
    str(finding).encode()
