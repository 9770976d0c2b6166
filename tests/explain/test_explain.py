"""What `attache explain` tells, and that it decides as the agent does."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.config.loading import load
from agent.explain.signing import KID, Signer, signer_for
from agent.explain.tokens import CLIENT, claims_of, header_of
from agent.explain.words import CHECKED
from agent.policy.requirement import CHECKS

NOW = 1_800_000_000
AT = "2027-01-15T08:00:00Z"
OTHER = "99999999-1111-1111-1111-111111111111"


@pytest.fixture
def signer() -> Signer:
    return signer_for(["RS256"])


@pytest.fixture
def token(folder: Path, signer: Signer) -> Callable[..., Path]:
    """A file with a token of an issuer; claims as given, None removes one."""

    def write(issuer: str = "entra", jose: dict[str, Any] | None = None, **claims: Any) -> Path:
        config = load(folder / "attache.yaml")
        found = next(each for each in config.issuers if each.name == issuer)
        header = header_of(found) | (jose or {})
        path = folder / "token"
        fitting = signer if "RS256" in found.rules.algorithms else signer_for(["ES256"])
        path.write_text(fitting.token(header, claims_of(found, claims, NOW)) + "\n")
        return path

    return write


@pytest.fixture
def explain(folder: Path, attache: Callable[..., Any]) -> Callable[..., Any]:
    def run(*arguments: str | Path) -> Any:
        return attache("explain", "--config", folder / "attache.yaml", "--at", AT, *arguments)

    return run


def told(ran: Any) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(ran.out)
    return document


def outcome(ran: Any, step: str) -> str:
    return next(str(each["outcome"]) for each in told(ran)["steps"] if each["step"] == step)


ORDER = [
    "path",
    "route",
    "token",
    "issuer",
    "signature",
    "time",
    "audience",
    "caller",
    "chain",
    "requirement",
    "application",
]


def test_every_step_is_told_in_the_order_of_the_decision(explain, token):
    ran = explain("--json", "--token-file", token(scp="access_as_user"), "GET", "/api/x?q=1")
    assert [step["step"] for step in told(ran)["steps"]] == ORDER


def test_without_keys_the_signature_is_left_open_and_the_rest_goes_on(explain, token):
    path = token(scp="access_as_user")
    ran = explain("--token-file", path, "GET", "/api/x")
    assert ran.code == 3
    assert "Not checked (offline)" in ran.out
    assert "would be ALLOWED if the signature is good" in ran.out
    document = told(explain("--json", "--token-file", path, "GET", "/api/x"))
    assert document["conditions"] == ["the signature is good"]
    assert document["headers"]["x-auth-scopes"] == "access_as_user"


def test_with_the_issuers_keys_the_signature_is_checked(explain, token, signer, folder):
    keys = folder / "keys.json"
    keys.write_bytes(signer.jwks(KID))
    path = token(scp="access_as_user")
    for given in (keys, f"entra={keys}"):
        ran = explain("--jwks", given, "--token-file", path, "GET", "/api/x")
        assert (ran.code, "ALLOWED\n" in ran.out) == (0, True)
    path.write_text(path.read_text()[:-8] + "AAAAAAA\n")
    ran = explain("--json", "--jwks", keys, "--token-file", path, "GET", "/api/x")
    assert (ran.code, told(ran)["reason"]) == (1, "invalid_token")
    assert outcome(ran, "signature") == "failed"


def test_a_key_that_the_given_document_lacks_is_unknown(explain, token, signer, folder):
    keys = folder / "keys.json"
    keys.write_bytes(signer.jwks("another"))
    ran = explain("--json", "--jwks", keys, "--token-file", token(), "GET", "/open/x")
    assert (ran.code, told(ran)["reason"]) == (1, "unknown_key")


DENIED = [
    ("GET", "/api//x", {}, "bad_path", "path"),
    ("GET", "/nowhere", {}, "no_route", "route"),
    ("GET", "/api/x", {"iss": "https://stranger.example"}, "untrusted_issuer", "issuer"),
    ("GET", "/api/x", {"iss": None}, "malformed_token", "issuer"),
    ("GET", "/api/x", {"tid": OTHER}, "tenant_not_allowed", "issuer"),
    ("GET", "/api/x", {"exp": "-2m"}, "expired_token", "time"),
    ("GET", "/api/x", {"nbf": "+5m"}, "invalid_token", "time"),
    ("GET", "/api/x", {"exp": None}, "invalid_token", "time"),
    ("GET", "/api/x", {"aud": "someone"}, "wrong_audience", "audience"),
    ("GET", "/api/x", {"aud": "someone", "nbf": "+5m"}, "wrong_audience", "audience"),
    ("GET", "/api/x", {"oid": None}, "invalid_token", "caller"),
    ("GET", "/api/x", {"scp": "other"}, "insufficient_scope", "requirement"),
    ("POST", "/api/tasks", {"idtyp": "app"}, "user_required", "requirement"),
    ("DELETE", "/api/tasks/7", {"scp": "x"}, "step_up_required", "requirement"),
]


@pytest.mark.parametrize(("method", "path", "claims", "reason", "step"), DENIED)
def test_the_step_that_denies_is_named_and_those_after_it_are_not_reached(
    explain, token, method, path, claims, reason, step
):
    ran = explain("--json", "--token-file", token(**claims), method, path)
    document = told(ran)
    assert (ran.code, document["reason"]) == (1, reason)
    outcomes = {each["step"]: each["outcome"] for each in document["steps"]}
    assert [name for name, found in outcomes.items() if found == "failed"] == [step]
    after = ORDER[ORDER.index(step) + 1 :]
    assert {outcomes[name] for name in after} <= {"not reached"}


def test_a_token_that_is_no_jwt_is_told_at_the_step_token(explain, folder):
    (folder / "t").write_text("not.a.jwt")
    ran = explain("--json", "--token-file", folder / "t", "GET", "/api/x")
    assert told(ran)["reason"] == "malformed_token"
    assert outcome(ran, "token") == "failed"


def test_no_token_is_told_where_one_is_asked_for_and_not_where_none_is(explain):
    assert told(explain("--json", "GET", "/api/x"))["reason"] == "missing_token"
    assert explain("GET", "/healthz").code == 0


def test_each_requirement_is_told_with_what_the_caller_has(explain, token):
    ran = explain(
        "--token-file", token(scp="access_as_user", roles=["Reader"]), "POST", "/api/tasks"
    )
    assert "✓ scopes: access_as_user required; the caller has access_as_user" in ran.out
    assert "✗ roles: one of Admin, Editor required; the caller has Reader" in ran.out


def test_what_is_asked_of_claims_and_of_the_sign_in_is_told(explain, token, folder):
    path = folder / "attache.yaml"
    asked = "{claims: {team: [blue, red]}, authContext: c1, maxAge: 5m}"
    path.write_text(path.read_text().replace("{authContext: c1}", asked))
    told_of = token(team="blue", acrs=["c1"], auth_time=NOW - 600)
    ran = explain("--token-file", told_of, "DELETE", "/api/tasks/7")
    assert "✓ claims: team one of blue, red required; the caller has team blue" in ran.out
    assert "✓ authentication context: c1 required; the token shows c1" in ran.out
    assert "✗ age of the sign-in: at most 300 s required; the token shows" in ran.out
    assert ran.code == 1


def test_the_rules_that_were_passed_over_are_told_with_why(explain, token):
    ran = explain("--token-file", token(scp="access_as_user"), "PUT", "/api/tasks")
    assert "2. POST /api/tasks: it is for POST, not for PUT" in ran.out
    ran = explain("--host", "shop", "--token-file", token(), "GET", "/admin/x")
    assert "it is for host admin.shop, not for shop" in ran.out
    ran = explain("--host", "admin.shop", "--token-file", token(roles=["Admin"]), "GET", "/admin/x")
    assert ran.code == 3


def test_every_check_of_the_agent_has_words_of_its_own():
    assert {check.__name__ for check in CHECKS} == set(CHECKED)


@pytest.mark.parametrize("issuer", ["entra", "customers", "partner", "strict", "mesh"])
def test_a_usual_token_of_every_kind_of_issuer_is_understood_offline(explain, token, issuer):
    ran = explain("--json", "--token-file", token(issuer), "GET", "/open/x")
    assert told(ran)["verdict"] == "allowed under conditions"


@pytest.mark.must(45)
def test_neither_the_token_nor_its_signature_is_ever_printed(explain, token):
    path = token(scp="access_as_user", roles=["\x1b[31mAdmin"], name="a\nb")
    secret = path.read_text().strip()
    path.write_text(f"Bearer {secret}")
    for arguments in (["GET", "/api/x"], ["POST", "/api/tasks"], ["--json", "GET", "/api/x"]):
        ran = explain("--token-file", path, *arguments)
        for part in (secret, *secret.split(".")):
            assert part not in ran.out + ran.err
        assert "\x1b[31mA" not in ran.out


def test_a_token_is_read_from_standard_input(explain, token, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(token(scp="access_as_user").read_text()))
    assert explain("--token-file", "-", "GET", "/api/x").code == 3


def test_the_list_of_revoked_tokens_is_asked_where_it_is_a_file(explain, token, folder):
    config = folder / "attache.yaml"
    config.write_text(config.read_text() + f"revocation: {{file: {folder / 'revoked.yaml'}}}\n")
    path = token(sub="s-1", scp="access_as_user")
    ran = explain("--json", "--token-file", path, "GET", "/api/x")
    assert told(ran)["conditions"] == ["the signature is good", "the token is not revoked"]
    (folder / "revoked.yaml").write_text("[]")
    ran = explain("--json", "--token-file", path, "GET", "/api/x")
    assert (outcome(ran, "revocation"), ran.code) == ("passed", 3)
    (folder / "revoked.yaml").write_text(f"- client: {CLIENT}\n")
    ran = explain("--json", "--token-file", path, "GET", "/api/x")
    assert (ran.code, told(ran)["reason"], outcome(ran, "revocation")) == (1, "revoked", "failed")


def test_a_transaction_that_is_required_is_told_as_a_step_of_its_own(explain, token, folder):
    config = folder / "attache.yaml"
    said = config.read_text().replace(
        "      trustDomain: shop.internal\n",
        "      trustDomain: shop.internal\n      txnToken: require\n",
    )
    config.write_text(said)
    path = token("mesh", scope="access_as_user")
    ran = explain("--json", "--token-file", path, "GET", "/api/x")
    assert (outcome(ran, "requirement"), outcome(ran, "transaction")) == ("passed", "failed")
    assert (ran.code, told(ran)["reason"]) == (1, "missing_token")
    config.write_text(said.replace("txnToken: require", "txnToken: accept"))
    ran = explain("--json", "--token-file", path, "GET", "/api/x")
    assert outcome(ran, "transaction") == "passed"
    assert "txn-token" in told(ran)["removed"]


def test_an_opaque_token_means_nothing_offline(explain, folder):
    (folder / "t").write_text("opaque-token-1")
    ran = explain("--token-file", folder / "t", "GET", "/api/x")
    assert (ran.code, "use --online" in ran.err) == (2, True)
    assert explain("--token-file", folder / "t", "GET", "/nowhere").code == 1


def test_online_the_keys_are_fetched_as_the_agent_would(explain, token, folder, signer, site):
    base = site(signer.jwks(KID))
    config = folder / "attache.yaml"
    config.write_text(config.read_text().replace("https://login.partner.example", base))
    config.write_text("\n".join(_only(config.read_text().splitlines(), "partner")))
    path = token("partner")
    ran = explain("--json", "--online", "--token-file", path, "GET", "/open/x")
    assert (ran.code, outcome(ran, "signature")) == (0, "passed")
    path.write_text(path.read_text()[:-8] + "AAAAAAA\n")
    ran = explain("--json", "--online", "--token-file", path, "GET", "/open/x")
    assert (ran.code, outcome(ran, "signature")) == (1, "failed")


def _only(lines: list[str], issuer: str) -> list[str]:
    """A configuration without the other issuers."""
    kept, inside, ours = [], False, False
    for line in lines:
        inside = (inside or line == "issuers:") and line != "routes:"
        if line.startswith("  - name:") and inside:
            ours = line.endswith(issuer)
        if not inside or ours or line == "issuers:":
            kept.append(line)
    return [*kept, ""]


MISUSED = [
    (["--header", "authorization=Bearer x"], "--token-file"),
    (["--header", "nonsense"], "NAME=VALUE"),
    (["--token-file", "/does/not/exist"], "cannot be read"),
    (["--jwks", "/does/not/exist"], "JWKS"),
]


@pytest.mark.parametrize(("arguments", "remedy"), MISUSED)
def test_what_is_misused_is_told_with_its_remedy(explain, arguments, remedy):
    ran = explain(*arguments, "GET", "/healthz")
    assert (ran.code, remedy in ran.err) == (2, True)


def test_a_time_that_is_none_is_told(folder, attache):
    ran = attache("explain", "--config", folder / "attache.yaml", "--at", "noon", "GET", "/healthz")
    assert (ran.code, "2026-01-31T12:00:00Z" in ran.err) == (2, True)


def test_a_configuration_that_is_not_valid_ends_with_2(folder, attache):
    (folder / "attache.yaml").write_text("workload: {}\n")
    ran = attache("explain", "--config", folder / "attache.yaml", "GET", "/healthz")
    assert ran.code == 2
