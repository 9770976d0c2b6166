"""On-Behalf-Of against the local identity provider, which refuses as Entra does."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import demo.idp
from agent.config.identities import EntraIdentity
from agent.context.caller import Caller
from agent.credentials.bulkhead import Bulkhead
from agent.credentials.cache import TokenCache
from agent.credentials.client_credentials import ClientCredentials
from agent.credentials.credential import Injection
from agent.credentials.entra import EntraClient
from agent.credentials.exchange import Exchange
from agent.credentials.ledger import Ledger
from agent.credentials.obo import OnBehalfOf
from agent.errors import Denial, Reason
from agent.identity.principal import IssuerKind, Kind
from agent.moment import Moment
from demo.idp import Directory, Fault, IdentityProvider, edits, jose, loading
from demo.idp.caller import Caller as Browser
from tests.credentials.conftest import NOW, anonymous, app, caller

SCOPES = ("api://notification/.default",)
TASK_API = "aaaaaaaa-0000-4000-8000-000000000001"


@pytest.fixture(scope="module")
def directory() -> Directory:
    readme = Path(str(demo.idp.__file__)).with_name("README.md").read_text(encoding="utf-8")
    found = re.search(r"```yaml\n(.*?)```", readme, re.DOTALL)
    assert found
    return loading.load(found.group(1), "README.md")


@pytest.fixture(scope="module")
def running(directory: Directory) -> Iterator[IdentityProvider]:
    with IdentityProvider(directory) as provider:
        yield provider


@pytest.fixture
def idp(running: IdentityProvider, directory: Directory) -> Iterator[IdentityProvider]:
    running.counters.reset()
    running.world.change(lambda _: directory)
    yield running
    running.clear_faults()


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("task-api-secret")
    return path


@pytest.fixture
def client(idp: IdentityProvider, secret_file: Path, directory: Directory) -> EntraClient:
    identity = EntraIdentity.model_validate(
        {
            "tenant": directory.tenants[0].id,
            "clientId": TASK_API,
            "authority": idp.base_url,
            "caFile": str(idp.ca_file),
            "secretFile": str(secret_file),
        }
    )
    return EntraClient("task-api", identity)


@pytest.fixture
def exchange(executor: ThreadPoolExecutor) -> Exchange:
    cache = TokenCache(
        clock=time.time,
        random=lambda: 0.5,
        executor=executor,
        bulkhead=Bulkhead(time.time, grace=10.0),
    )
    return Exchange(cache, Ledger(time.time), time.time, lambda: 0.5)


@pytest.fixture
def obo(client: EntraClient, exchange: Exchange) -> OnBehalfOf:
    return OnBehalfOf("notification", SCOPES, client, exchange)


def signed_in(idp: IdentityProvider, username: str) -> Caller:
    """The caller that the verifier makes of this user's token."""
    with Browser(idp) as browser:
        return came_with(browser.user_token(username, "api://task-api/access_as_user"))


def came_with(token: str) -> Caller:
    jws = jose.parse(token)
    assert jws
    return caller(
        token,
        subject=jws.claims["oid"],
        tenant=jws.claims["tid"],
        expires_at=float(jws.claims["exp"]),
        claims=jws.claims,
    )


def now() -> Moment:
    return Moment(time.time(), 20.0)


def _claims(got: Injection | Denial) -> dict[str, Any]:
    assert isinstance(got, Injection), got
    ((name, value),) = got.headers
    assert name == "authorization"
    jws = jose.parse(value.removeprefix("Bearer "))
    assert jws
    return dict(jws.claims)


@pytest.mark.must(27)
def test_each_user_is_acted_for_in_the_tenant_of_their_own(
    idp: IdentityProvider, obo: OnBehalfOf
) -> None:
    for username in ("alice@contoso.example", "rita@northwind.example", "ed@contoso.example"):
        who = signed_in(idp, username)
        assert who.verified
        claims = _claims(obo.obtain(who, now()))
        wanted = (who.verified.principal.subject, who.verified.principal.tenant)
        assert (claims["oid"], claims["tid"]) == wanted
        assert claims["azp"] == TASK_API
        assert claims["scp"] == "Notification.Send"
    rows = {(row["tenant"], row["count"]) for row in idp.counters.rows() if row["grant"]}
    assert len([row for row in rows if row[1]]) >= 2


@pytest.mark.must(41)
def test_many_calls_of_one_request_make_one_exchange(
    idp: IdentityProvider, obo: OnBehalfOf
) -> None:
    who = signed_in(idp, "alice@contoso.example")
    with ThreadPoolExecutor(24) as threads:
        got = list(threads.map(lambda _: obo.obtain(who, now()), range(200)))
    assert len({one.headers for one in got if isinstance(one, Injection)}) == 1
    assert not any(isinstance(one, Denial) for one in got)
    assert idp.counters.total("token", grant="jwt-bearer") == 1


@pytest.mark.must(28)
def test_a_user_and_the_application_never_share_a_token(
    idp: IdentityProvider, obo: OnBehalfOf, client: EntraClient, exchange: Exchange
) -> None:
    own = ClientCredentials("notification", SCOPES, "", client, exchange)
    who = signed_in(idp, "alice@contoso.example")
    for _ in range(3):
        assert _claims(obo.obtain(who, now()))["oid"] == who.verified.principal.subject  # type: ignore[union-attr]
        assert "scp" not in _claims(own.obtain(who, now()))


@pytest.mark.must(28)
@pytest.mark.parametrize(
    ("who", "reason"),
    [
        (None, Reason.NO_SUBJECT),
        (anonymous(), Reason.NO_SUBJECT),
        (app(), Reason.USER_REQUIRED),
        (caller(issuer_kind=IssuerKind.OIDC), Reason.DESTINATION_NOT_ALLOWED),
        (caller(issuer_kind=IssuerKind.B2C), Reason.DESTINATION_NOT_ALLOWED),
        (caller(issuer_kind=IssuerKind.INTERNAL), Reason.DESTINATION_NOT_ALLOWED),
        (caller(tenant=""), Reason.DESTINATION_NOT_ALLOWED),
        (caller(expires_at=NOW), Reason.EXPIRED_TOKEN),
        (caller(claims={"aud": TASK_API.replace("1", "2")}), Reason.INTERNAL_ERROR),
    ],
)
def test_what_cannot_be_exchanged_is_never_sent(
    idp: IdentityProvider, obo: OnBehalfOf, who: Caller | None, reason: Reason
) -> None:
    got = obo.obtain(who, Moment(NOW, 10.0))
    assert isinstance(got, Denial)
    assert got.reason is reason
    assert idp.counters.total("token") == 0


def _refusal(obo: OnBehalfOf, who: Caller) -> Denial:
    got = obo.obtain(who, now())
    assert isinstance(got, Denial), got
    return got


def test_missing_consent_is_403_and_heals_soon_after_it_is_given(
    idp: IdentityProvider, obo: OnBehalfOf
) -> None:
    who = signed_in(idp, "alice@contoso.example")
    idp.change(edits.revoke_consent, client="task-api", resource="notification")
    denial = _refusal(obo, who)
    assert (denial.reason, denial.status, denial.required) == (
        Reason.CONSENT_REQUIRED,
        403,
        SCOPES,
    )
    idp.change(
        edits.grant_consent,
        client="task-api",
        resource="notification",
        scopes=["Notification.Send"],
        tenant="contoso.example",
    )
    later = Moment(time.time() + 6, 20.0)
    assert isinstance(obo.obtain(who, later), Injection)


def test_a_demand_for_mfa_travels_as_a_challenge(idp: IdentityProvider, obo: OnBehalfOf) -> None:
    who = signed_in(idp, "ed@contoso.example")
    idp.change(edits.set_policy, resource="notification", demand="mfa")
    denial = _refusal(obo, who)
    assert (denial.reason, denial.status) == (Reason.INTERACTION_REQUIRED, 401)
    assert denial.claims
    assert "access_token" in denial.claims


def test_a_block_is_403_without_a_challenge(idp: IdentityProvider, obo: OnBehalfOf) -> None:
    who = signed_in(idp, "ed@contoso.example")
    idp.change(edits.set_policy, resource="notification", demand="block")
    denial = _refusal(obo, who)
    assert (denial.reason, denial.status, denial.claims) == (Reason.ACCESS_BLOCKED, 403, None)


def test_our_expired_secret_is_503_and_tells_the_operator(
    idp: IdentityProvider, obo: OnBehalfOf, caplog: pytest.LogCaptureFixture
) -> None:
    who = signed_in(idp, "alice@contoso.example")
    idp.change(edits.expire_secrets, client="task-api")
    denial = _refusal(obo, who)
    assert (denial.reason, denial.status) == (Reason.CREDENTIAL_ERROR, 503)
    assert "(7000222, expired). Rotate the secret of client" in caplog.text


def test_a_wrong_secret_is_503_until_the_file_is_right(
    idp: IdentityProvider, obo: OnBehalfOf, secret_file: Path
) -> None:
    who = signed_in(idp, "alice@contoso.example")
    secret_file.write_text("wrong")
    assert _refusal(obo, who).status == 503
    secret_file.write_text("task-api-secret")
    assert isinstance(obo.obtain(who, Moment(time.time() + 5, 20.0)), Injection)


def test_a_destination_that_a_tenant_does_not_know_is_our_configuration(
    idp: IdentityProvider, obo: OnBehalfOf
) -> None:
    idp.change(edits.remove_service_principal, client="notification", tenant="northwind.example")
    denial = _refusal(obo, signed_in(idp, "rita@northwind.example"))
    assert (denial.reason, denial.status) == (Reason.INTERNAL_ERROR, 500)
    assert isinstance(obo.obtain(signed_in(idp, "ed@contoso.example"), now()), Injection)


def test_a_token_that_entra_no_longer_accepts_is_401(
    idp: IdentityProvider, obo: OnBehalfOf
) -> None:
    who = signed_in(idp, "alice@contoso.example")
    assert who.verified
    token = who.verified.token
    cut = came_with(token)
    assert cut.verified
    forged = cut._replace(verified=cut.verified._replace(token=token[:-8] + "AAAAAAAA"))
    assert _refusal(obo, forged).reason is Reason.INVALID_TOKEN


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault("throttle", "token", retry_after=7), Reason.RATE_LIMITED),
        (Fault("aad_error", "token", code=50196), Reason.RATE_LIMITED),
        (Fault("html_error", "token"), Reason.ISSUER_UNAVAILABLE),
        (Fault("json_error", "token"), Reason.ISSUER_UNAVAILABLE),
        (Fault("reset", "token"), Reason.ISSUER_UNAVAILABLE),
        (Fault("empty", "token"), Reason.ISSUER_UNAVAILABLE),
        (Fault("html", "token"), Reason.ISSUER_UNAVAILABLE),
        (Fault("truncated", "token"), Reason.ISSUER_UNAVAILABLE),
        (Fault("html_error", "discovery"), Reason.ISSUER_UNAVAILABLE),
        (Fault("wrong_issuer", "discovery"), Reason.ISSUER_UNAVAILABLE),
    ],
    ids=lambda value: f"{value.endpoint}-{value.kind}" if isinstance(value, Fault) else "",
)
def test_a_fault_of_the_server_is_503_and_passes(
    idp: IdentityProvider, obo: OnBehalfOf, fault: Fault, reason: Reason
) -> None:
    who = signed_in(idp, "alice@contoso.example")
    idp.fault(fault)
    denial = _refusal(obo, who)
    assert (denial.reason, denial.status) == (reason, 503)
    assert denial.retry_after
    idp.clear_faults()
    later = Moment(time.time() + 8, 20.0)
    assert isinstance(obo.obtain(who, later), Injection)


def test_a_throttle_of_one_user_is_nobody_elses(idp: IdentityProvider, obo: OnBehalfOf) -> None:
    alice, ed = signed_in(idp, "alice@contoso.example"), signed_in(idp, "ed@contoso.example")
    idp.fault(Fault("throttle", "token", count=1, retry_after=60))
    assert _refusal(obo, alice).retry_after == 60
    assert isinstance(obo.obtain(ed, now()), Injection)
    assert _refusal(obo, alice).reason is Reason.RATE_LIMITED


@pytest.mark.must(38, 39)
def test_a_tenant_that_hangs_holds_up_no_other(idp: IdentityProvider, obo: OnBehalfOf) -> None:
    rita, alice = signed_in(idp, "rita@northwind.example"), signed_in(idp, "alice@contoso.example")
    assert rita.verified
    idp.fault(Fault("hang", tenant=rita.verified.principal.tenant))
    with ThreadPoolExecutor(8) as threads:
        stuck = [threads.submit(obo.obtain, rita, Moment(time.time(), 0.3)) for _ in range(8)]
        assert isinstance(obo.obtain(alice, now()), Injection)
        denied = [future.result() for future in stuck]
    assert {one.reason for one in denied if isinstance(one, Denial)} == {Reason.DEADLINE}
    assert len(denied) == 8
    idp.clear_faults()


def test_the_injection_ends_with_the_first_of_both_tokens(
    idp: IdentityProvider, obo: OnBehalfOf
) -> None:
    who = signed_in(idp, "alice@contoso.example")
    got = obo.obtain(who, now())
    assert isinstance(got, Injection)
    assert who.verified
    assert got.expires_at <= who.verified.principal.expires_at
    assert got.acts_as is Kind.USER
