"""What `attache test` compares, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from agent.config.loading import load
from agent.explain.signing import KID, signer_for
from agent.explain.tokens import claims_of

HEAD = "config: attache.yaml\nnow: 2026-01-31T12:00:00Z\ncases:\n"
SURE = "method: GET, path: /open/x"


@pytest.fixture
def run(folder: Path, attache: Callable[..., Any]) -> Callable[..., Any]:
    """Run `attache test` on these cases, one a line."""

    def test(*cases: str, head: str = HEAD, arguments: tuple[str, ...] = ()) -> Any:
        lines = [f"  - {{{case}}}" for case in cases]
        (folder / "cases.yaml").write_text(head + "\n".join(lines) + "\n")
        return attache("test", folder / "cases.yaml", *arguments)

    return test


AS_EXPECTED = [
    "path: /healthz, expect: allow",
    "path: /open/x, expect: missing_token",
    f"claims: {{}}, {SURE}, expect: allow",
    f"claims: {{exp: -2m}}, {SURE}, expect: expired_token",
    f"claims: {{exp: -59s}}, {SURE}, expect: allow",  # within the tolerance
    f"claims: {{exp: null}}, {SURE}, expect: invalid_token",
    f"claims: {{exp: '1'}}, {SURE}, expect: invalid_token",
    f"claims: {{nbf: +5m}}, {SURE}, expect: invalid_token",
    f"claims: {{aud: other}}, {SURE}, expect: wrong_audience",
    f"claims: {{aud: [other, 'api://task-api']}}, {SURE}, expect: allow",
    f"claims: {{tid: 99999999-1111-1111-1111-111111111111}}, {SURE}, expect: tenant_not_allowed",
    f"claims: {{ver: '1.0'}}, {SURE}, expect: allow",
    f"claims: {{oid: null}}, {SURE}, expect: invalid_token",
    f"claims: {{idtyp: app, roles: [x]}}, {SURE}, expect: {{decision: allow, headers: "
    "{x-auth-kind: app, x-auth-name: null, x-auth-roles: x, X-Request-Id: '*'}}",
    f"claims: {{iss: 'https://stranger.example'}}, {SURE}, expect: untrusted_issuer",
    f"claims: {{iss: 'https://login.partner.example'}}, {SURE}, expect: unknown_key",
    f"claims: {{}}, jose: {{alg: none}}, {SURE}, expect: invalid_token",
    f"claims: {{}}, jose: {{alg: RS384}}, {SURE}, expect: invalid_token",
    f"claims: {{}}, jose: {{crit: [x]}}, {SURE}, expect: malformed_token",
    f"claims: {{}}, jose: {{kid: null}}, {SURE}, expect: unknown_key",
    f"issuer: customers, claims: {{}}, {SURE}, expect: allow",
    f"issuer: customers, claims: {{tfp: b2c_1_SIGNIN}}, {SURE}, expect: allow",
    f"issuer: customers, claims: {{acr: b2c_1_signin}}, {SURE}, expect: allow",
    f"issuer: customers, claims: {{tfp: B2C_1_other}}, {SURE}, expect: invalid_token",
    f"issuer: partner, claims: {{scope: a b}}, {SURE}, expect: "
    "{decision: allow, headers: {x-auth-scopes: a b, x-auth-issuer: 'https://login.partner.example'}}",
    f"issuer: partner, claims: {{}}, jose: {{typ: at+jwt}}, {SURE}, expect: allow",
    f"issuer: strict, claims: {{}}, {SURE}, expect: allow",
    f"issuer: strict, claims: {{}}, jose: {{typ: JWT}}, {SURE}, expect: invalid_token",
    f"issuer: strict, claims: {{jti: null}}, {SURE}, expect: invalid_token",
    f"issuer: opaque, claims: {{scope: a b}}, {SURE}, expect: "
    "{decision: allow, headers: {x-auth-scopes: a b, x-auth-client: test-client}}",
    f"issuer: opaque, claims: {{active: false}}, {SURE}, expect: invalid_token",
    f"issuer: opaque, claims: {{aud: others}}, {SURE}, expect: wrong_audience",
    f"issuer: opaque, claims: {{exp: -5m}}, {SURE}, expect: expired_token",
    "issuer: opaque, claims: {scope: x}, path: /api/x, expect: insufficient_scope",
    f"issuer: mesh, claims: {{scope: a}}, {SURE}, expect: {{decision: allow, headers: "
    "{x-correlation-id: test-transaction}}",
    f"issuer: mesh, claims: {{act: {{sub: test/caller, act: {{sub: shop/task-api}}}}}}, {SURE}, "
    "expect: call_loop",
    f"issuer: mesh, claims: {{hops: 9}}, {SURE}, expect: call_loop",
    f"issuer: mesh, claims: {{}}, jose: {{typ: JWT}}, {SURE}, expect: invalid_token",
    "claims: {scp: access_as_user, roles: [Editor], team: blue}, method: POST, path: /api/tasks, "
    "expect: {decision: allow, headers: {x-team: blue, authorization: '*'}}",
    "claims: {scp: access_as_user}, method: POST, path: /api/tasks, "
    "expect: {decision: deny, reason: insufficient_role, status: 403}",
    "claims: {}, method: DELETE, path: /api/tasks/1, expect: "
    "{decision: deny, reason: step_up_required, status: 403}",
    "claims: {xms_cc: [cp1]}, method: DELETE, path: /api/tasks/1, expect: "
    "{decision: deny, reason: step_up_required, status: 401}",
    "claims: {acrs: [c1]}, method: DELETE, path: /api/tasks/1, expect: allow",
    "path: /admin/x, host: admin.shop, claims: {roles: [Admin]}, expect: allow",
    "path: /admin/x, host: other.shop, claims: {roles: [Admin]}, expect: no_route",
    "path: /open/%2e%2e/x, expect: {decision: deny, reason: bad_path, status: 400}",
    "path: /open/x, headers: {Authorization: Basic eDp5}, expect: missing_token",
    "path: /open/x, claims: {}, headers: {authorization: Bearer x}, expect: malformed_token",
    f"claims: {{}}, {SURE}, headers: {{x-correlation-id: ours-1}}, expect: "
    "{decision: allow, headers: {x-correlation-id: ours-1}}",
    "path: /open/x, method: OPTIONS, headers: {origin: 'https://ui.example', "
    "access-control-request-method: GET}, expect: allow",
    "path: /open/x, method: OPTIONS, headers: {origin: 'https://evil.example', "
    "access-control-request-method: GET}, expect: missing_token",
    "path: /healthz, method: OPTIONS, headers: {origin: 'https://evil.example', "
    "access-control-request-method: GET}, expect: no_route",
    f"token: not.a.token, {SURE}, expect: malformed_token",
]


def test_every_rule_but_the_fetch_of_keys_can_be_asked(run):
    ran = run(*(f"name: {n}, {case}" for n, case in enumerate(map(str, AS_EXPECTED), 100)))
    assert ran.code == 2, "a name is text"
    ran = run(*(f"name: case {n}, {case}" for n, case in enumerate(AS_EXPECTED)))
    assert ran.code == 0, ran.out + ran.err
    assert f"{len(AS_EXPECTED)} passed, 0 failed" in ran.out


def test_a_case_may_have_a_time_of_its_own(run):
    then = "now: 2026-01-31T14:00:00Z"
    token = f"claims: {{exp: 1769864400}}, {SURE}"  # 2026-01-31T13:00:00Z
    assert run(f"name: a, {token}, expect: allow").code == 0
    assert run(f"name: a, {then}, {token}, expect: expired_token").code == 0
    assert run(f"name: a, now: 1769868000, {token}, expect: expired_token").code == 0


FAILING = [
    ("expect: deny", "expected deny, got allow"),
    ("expect: no_route", "expected deny, got allow"),
    (
        "expect: {decision: allow, headers: {x-auth-kind: app}}",
        "expected header x-auth-kind: 'app', the application sees 'user'",
    ),
    (
        "expect: {decision: allow, headers: {x-auth-roles: Admin}}",
        "expected header x-auth-roles: 'Admin', the application sees none",
    ),
    (
        "expect: {decision: allow, headers: {x-auth-kind: null}}",
        "expected header x-auth-kind: none, the application sees 'user'",
    ),
]


@pytest.mark.parametrize(("expect", "told"), FAILING)
def test_a_case_that_is_decided_otherwise_fails_and_is_explained(run, expect, told):
    ran = run(
        "name: fine, path: /healthz, expect: allow", f"name: a, claims: {{}}, {SURE}, {expect}"
    )
    assert ran.code == 1
    assert told in ran.out
    assert "✓ requirement The route asks for a valid token, no more." in ran.out
    assert "1 passed, 1 failed" in ran.out


def test_another_reason_or_status_than_expected_fails(run):
    ran = run("name: a, path: /open/x, expect: no_route")
    assert "expected reason no_route, got missing_token" in ran.out
    ran = run("name: a, path: /open/x, expect: {decision: deny, status: 403}")
    assert (ran.code, "expected status 403, got 401" in ran.out) == (1, True)


INVALID = [
    ("name: a, path: /, expect: nonsense", "'nonsense' is no reason"),
    ("name: a, path: /, expects: allow", "did you mean 'expect'"),
    ("name: a, expect: allow", "'path' is missing"),
    ("name: a, path: /, token: x, claims: {}, expect: deny", "exclude each other"),
    ("name: a, path: /, issuer: entra, expect: deny", "write claims: {}"),
    ("name: a, path: /, issuer: no, claims: {}, expect: deny", "write one of entra, customers"),
    ("name: a, path: /, expect: {decision: allow, status: 403}", "remove them"),
    ("name: a, path: /, expect: {decision: deny, headers: {x: y}}", "remove headers"),
    ("name: a, path: /, expect: {decision: maybe}", "'allow' or 'deny'"),
    ("name: a, path: /, now: noon, expect: deny", "is not a time"),
]


@pytest.mark.parametrize(("case", "told"), INVALID)
def test_a_file_that_is_not_valid_is_refused_with_its_line_and_remedy(run, case, told):
    ran = run(case)
    assert ran.code == 2
    assert told in ran.err
    assert "cases.yaml:4" in ran.err


def test_unknown_keys_two_equal_names_and_an_absent_configuration_are_refused(run, folder):
    assert (
        "unknown key 'confg'"
        in run("name: a, path: /, expect: deny", head="confg: x\ncases:\n").err
    )
    ran = run("name: a, path: /, expect: deny", "name: a, path: /x, expect: deny")
    assert (ran.code, "cases[1].name: two cases have this name" in ran.err) == (2, True)
    ran = run("name: a, path: /, expect: deny", head="cases:\n")
    assert (ran.code, "no configuration is named" in ran.err) == (2, True)


def test_the_configuration_of_the_command_line_is_the_stronger_one(run, folder):
    (folder / "other.yaml").write_text(
        "workload: {name: x}\nlisteners: {inbound: {application: '127.0.0.1:1'}}\n"
        "routes: [{path: /open/x, anonymous: true}]\n"
    )
    case = "name: a, path: /open/x, expect: allow"
    assert run(case).code == 1
    assert run(case, arguments=("--config", str(folder / "other.yaml"))).code == 0


def test_a_token_of_ones_own_is_checked_where_its_keys_are_given(run, folder):
    issuer = load(folder / "attache.yaml").issuers[2]
    signer = signer_for(["ES256"])
    (folder / "t").write_text(signer.token({}, claims_of(issuer, {}, 1769860800)))
    case = f"name: a, tokenFile: t, {SURE}, expect: allow"
    assert "(the signature was not checked)" in run(case).out
    head = HEAD.replace("cases:", "jwks: {partner: keys.json}\ncases:")
    (folder / "keys.json").write_bytes(signer.jwks(KID))
    ran = run(case, head=head)
    assert (ran.code, "not checked" in ran.out) == (0, False)
    (folder / "keys.json").write_bytes(signer.jwks("another"))
    assert run(case, head=head).code == 1


def test_a_report_for_ci_names_what_failed(run, folder):
    ran = run(
        "name: fine, path: /healthz, expect: allow",
        "name: broken <1>, path: /healthz, expect: deny",
        arguments=("--junit", str(folder / "report.xml")),
    )
    suite = Xml.parse(folder / "report.xml").getroot()
    assert (ran.code, suite.get("tests"), suite.get("failures")) == (1, "2", "1")
    broken = suite.findall("testcase")[1]
    failure = broken.find("failure")
    assert failure is not None
    assert (broken.get("name"), failure.get("message")) == (
        "broken <1>",
        "expected deny, got allow",
    )
    assert "path" in (failure.text or "")
