"""Who is calling with an Entra ID token (ENTRA.md §1, SECURITY.md 9)."""

from typing import Any

import pytest

from agent.errors import Denial, Reason
from agent.identity.principal import IssuerKind, Kind, Verified
from agent.identity.unusable import Unusable

T1, T2, T3 = (f"{digit * 8}-0000-4000-8000-{'a' * 12}" for digit in "123")
MSA = "9188040d-6c67-4c5b-b112-36a304b66dad"
HOST = "https://login.microsoftonline.com"
V1, V2 = "https://sts.windows.net/{}/", HOST + "/{}/v2.0"
CLOUD = "microsoftonline.com"
NOW = 1_800_000_000.0
V2_CLAIMS: dict[str, Any] = {
    "iss": V2.format(T1),
    "aud": "api-guid",
    "tid": T1,
    "oid": "user-oid",
    "sub": "pairwise",
    "azp": "spa-guid",
    "scp": "access_as_user",
    "ver": "2.0",
    "iat": NOW - 10,
    "exp": NOW + 300,
}
V1_CLAIMS = (V2_CLAIMS | {"iss": V1.format(T1), "ver": "1.0", "appid": "spa-guid", "azp": None}) | {
    "aud": "api://task-api"
}
CONFIG: dict[str, Any] = {"tenants": [T1, T2], "audiences": ["api-guid", "api://task-api"]}


def publish(web: Any, ring: Any, segment: str, tenant: str) -> None:
    """The two documents of a tenant (or of an alias), as Entra has them."""
    web.publish(f"{HOST}/{segment}", V1.format(tenant), ring.jwks("rsa"), cloud_instance_name=CLOUD)
    jwks = ring.jwks(
        ring.jwk("rsa", issuer=V2.format("{tenantid}"), cloud_instance_name=CLOUD),
        ring.jwk("rsa-b", kid="msa", issuer=V2.format(MSA), cloud_instance_name=CLOUD),
        ring.jwk("rsa-b", kid="gov", issuer=V2.format("{tenantid}"), cloud_instance_name="gov"),
        ring.jwk("rsa-b", kid="bare"),
    )
    issuer = V2.format(tenant)
    web.publish(f"{HOST}/{segment}/v2.0", issuer, jwks, cloud_instance_name=CLOUD)


@pytest.fixture
def entra(build: Any, web: Any, ring: Any) -> Any:
    for tenant in (T1, T2):
        publish(web, ring, tenant, tenant)
    return build(web, {"name": "entra", "entra": CONFIG})


@pytest.fixture
def anyone(build: Any, web: Any, ring: Any) -> Any:
    publish(web, ring, "organizations", "{tenantid}")
    config = {"allowAnyTenant": True, "audiences": ["api-guid", "api://task-api"]}
    return build(web, {"name": "entra", "entra": config})


def reason(found: Any) -> Reason | None:
    return found.reason if isinstance(found, Denial) else None


@pytest.mark.must(9)
@pytest.mark.parametrize("claims", [V1_CLAIMS, V2_CLAIMS], ids=["v1", "v2"])
def test_a_user_is_known_by_tenant_and_object_id(entra: Any, ring: Any, claims: Any) -> None:
    found = entra.verify(ring.mint("rsa", claims | {"roles": ["Admin"], "acrs": ["c1", "p1"]}))
    assert isinstance(found, Verified)
    principal = found.principal
    assert (principal.kind, principal.issuer_kind) == (Kind.USER, IssuerKind.ENTRA)
    assert (principal.tenant, principal.subject, principal.realm) == (T1, "user-oid", T1)
    assert (principal.client, principal.issuer) == ("spa-guid", claims["iss"])
    assert (principal.scopes, principal.roles) == ({"access_as_user"}, {"Admin"})
    assert principal.auth_contexts == {"c1", "p1"}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({}, Kind.USER),
        ({"idtyp": "user"}, Kind.USER),
        ({"scp": None, "idtyp": "app"}, Kind.APP),
        ({"scp": None, "sub": "user-oid"}, Kind.APP),
        ({"scp": None, "sub": "user-oid", "idtyp": "app"}, Kind.APP),
        ({"sub": "user-oid"}, Kind.USER),
        ({"scp": None}, None),
        ({"scp": ""}, None),
        ({"scp": " "}, None),
        ({"scp": None, "idtyp": "user"}, None),
        ({"scp": None, "sub": "user-oid", "idtyp": "user"}, None),
        ({"idtyp": "app"}, None),
        ({"idtyp": "device"}, None),
        ({"idtyp": "App", "scp": None}, None),
        ({"scp": None, "sub": None}, None),
    ],
    ids=str,
)
def test_an_app_is_told_from_a_user_and_both_from_an_id_token(
    entra: Any, ring: Any, said: dict[str, Any], kind: Kind | None
) -> None:
    found = entra.verify(ring.mint("rsa", V2_CLAIMS | said))
    if kind is None:
        assert reason(found) is Reason.INVALID_TOKEN
    else:
        assert isinstance(found, Verified)
        assert found.principal.kind is kind


@pytest.mark.must(9)
@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"iss": V2.format(T3), "tid": T3}, Reason.TENANT_NOT_ALLOWED),
        ({"iss": V1.format(T3), "tid": T3, "ver": "1.0"}, Reason.TENANT_NOT_ALLOWED),
        ({"tid": T2}, Reason.INVALID_TOKEN),
        ({"iss": V2.format(T2)}, Reason.INVALID_TOKEN),
        ({"tid": T1.upper()}, Reason.INVALID_TOKEN),
        ({"iss": V2.format(T1.upper()), "tid": T1.upper()}, Reason.UNTRUSTED_ISSUER),
        ({"iss": V2.format(T1.upper())}, Reason.UNTRUSTED_ISSUER),
        ({"tid": None}, Reason.INVALID_TOKEN),
        ({"tid": ""}, Reason.INVALID_TOKEN),
        ({"tid": [T1]}, Reason.INVALID_TOKEN),
        ({"tid": T1 + "\n"}, Reason.INVALID_TOKEN),
        ({"iss": V2.format("{tenantid}")}, Reason.UNTRUSTED_ISSUER),
        ({"iss": V2.format("{tenantid}"), "tid": "{tenantid}"}, Reason.UNTRUSTED_ISSUER),
        ({"iss": V2.format("common")}, Reason.UNTRUSTED_ISSUER),
        ({"iss": V2.format(T1) + "/"}, Reason.UNTRUSTED_ISSUER),
        ({"iss": "https://evil.example/" + T1 + "/v2.0"}, Reason.UNTRUSTED_ISSUER),
        ({"iss": V2.format(T3), "tid": T1}, Reason.UNTRUSTED_ISSUER),
        ({"ver": "1.0"}, Reason.INVALID_TOKEN),
        ({"ver": "2"}, Reason.INVALID_TOKEN),
        ({"ver": 2}, Reason.INVALID_TOKEN),
        ({"oid": None}, Reason.INVALID_TOKEN),
        ({"oid": ""}, Reason.INVALID_TOKEN),
        ({"oid": 1}, Reason.INVALID_TOKEN),
        ({"roles": "Admin"}, Reason.INVALID_TOKEN),
        ({"scp": ["access_as_user"]}, Reason.INVALID_TOKEN),
        ({"acrs": "c1"}, Reason.INVALID_TOKEN),
        ({"at_hash": "x"}, Reason.INVALID_TOKEN),
        ({"aud": "API-GUID"}, Reason.WRONG_AUDIENCE),
        ({"aud": "api://task-api/"}, Reason.WRONG_AUDIENCE),
    ],
    ids=str,
)
def test_a_token_that_breaks_a_rule_is_refused(
    entra: Any, ring: Any, said: dict[str, Any], expected: Reason
) -> None:
    assert reason(entra.verify(ring.mint("rsa", V2_CLAIMS | said))) is expected


@pytest.mark.must(9)
@pytest.mark.parametrize("tid", [T2, T3, T1.upper(), None, "", "common"])
def test_the_tenant_is_held_to_the_issuer_where_no_key_is_scoped(
    entra: Any, ring: Any, tid: str | None
) -> None:
    """The keys of v1 name no issuer: only `tid` itself can give the lie away."""
    assert reason(entra.verify(ring.mint("rsa", V1_CLAIMS | {"tid": tid}))) is Reason.INVALID_TOKEN


def test_a_token_need_not_name_its_version(entra: Any, ring: Any) -> None:
    assert isinstance(entra.verify(ring.mint("rsa", V2_CLAIMS | {"ver": None})), Verified)


@pytest.mark.must(9)
@pytest.mark.parametrize("kid", ["msa", "gov"])
def test_a_key_of_another_issuer_or_cloud_signs_nothing_here(
    entra: Any, ring: Any, kid: str
) -> None:
    found = entra.verify(ring.mint("rsa-b", V2_CLAIMS, kid=kid))
    assert reason(found) is Reason.INVALID_TOKEN
    assert "key belongs to another" in found.detail
    assert isinstance(entra.verify(ring.mint("rsa-b", V2_CLAIMS, kid="bare")), Verified)


@pytest.mark.must(9)
def test_any_tenant_is_a_choice_and_the_issuer_still_follows_the_tenant(
    anyone: Any, ring: Any
) -> None:
    for tenant in (T1, T3):
        claims = V2_CLAIMS | {"iss": V2.format(tenant), "tid": tenant}
        found = anyone.verify(ring.mint("rsa", claims))
        assert isinstance(found, Verified)
        assert found.principal.tenant == tenant
        old = V1_CLAIMS | {"iss": V1.format(tenant), "tid": tenant}
        assert isinstance(anyone.verify(ring.mint("rsa", old)), Verified)
    for said in ({"tid": T2}, {"tid": None}, {"iss": V2.format(T1.upper()), "tid": T1.upper()}):
        assert reason(anyone.verify(ring.mint("rsa", V2_CLAIMS | said))) is Reason.UNTRUSTED_ISSUER


@pytest.mark.must(9)
def test_the_key_of_personal_accounts_signs_for_their_tenant_only(anyone: Any, ring: Any) -> None:
    personal = V2_CLAIMS | {"iss": V2.format(MSA), "tid": MSA}
    assert isinstance(anyone.verify(ring.mint("rsa-b", personal, kid="msa")), Verified)
    assert reason(anyone.verify(ring.mint("rsa-b", V2_CLAIMS, kid="msa"))) is Reason.INVALID_TOKEN


def test_common_serves_where_organizations_is_missing(build: Any, web: Any, ring: Any) -> None:
    publish(web, ring, "common", "{tenantid}")
    world = build(
        web, {"name": "entra", "entra": {"allowAnyTenant": True, "audiences": ["api-guid"]}}
    )
    assert isinstance(world.verify(ring.mint("rsa", V2_CLAIMS)), Verified)


@pytest.mark.parametrize("missing", ["/v2.0", ""])
def test_a_missing_document_breaks_the_other_version_only(
    build: Any, web: Any, ring: Any, missing: str
) -> None:
    publish(web, ring, T1, T1)
    del web.documents[f"{HOST}/{T1}{missing}/.well-known/openid-configuration"]
    world = build(web, {"name": "entra", "entra": CONFIG | {"tenants": [T1]}})
    present, absent = (V1_CLAIMS, V2_CLAIMS) if missing else (V2_CLAIMS, V1_CLAIMS)
    assert isinstance(world.verify(ring.mint("rsa", present)), Verified)
    denied = world.verify(ring.mint("rsa", absent))
    # Without its metadata nobody knows the name of v1's issuer, except that the tenant is in it.
    assert reason(denied) is Reason.ISSUER_UNAVAILABLE
    assert denied.status == 503


def said_again(world: Any, url: str, settled: Any) -> None:
    """Let five minutes pass and the document be looked for again."""
    tries = world.web.fetched.count(url)
    world.clock.now += 301
    world.trust._refresher.wake()
    settled(lambda: world.web.fetched.count(url) > tries)
    settled(lambda: not any(each.busy for each in world.trust._sources.values()))


@pytest.mark.parametrize("missing", ["/v2.0", ""])
def test_a_document_that_the_server_says_is_not_there_trusts_nobody_and_is_looked_for_again(
    build: Any, web: Any, ring: Any, settled: Any, missing: str
) -> None:
    publish(web, ring, T1, T1)
    url = f"{HOST}/{T1}{missing}/.well-known/openid-configuration"
    document = web.documents[url]
    web.documents[url] = Unusable(f"{url} answered 404", absent=True)
    world = build(web, {"name": "entra", "entra": CONFIG | {"tenants": [T1]}})
    assert world.trust.missing() == []
    absent = ring.mint("rsa", V2_CLAIMS if missing else V1_CLAIMS)
    # It may only be late: a "no" counts when it has been said for five minutes.
    assert reason(world.verify(absent)) is Reason.ISSUER_UNAVAILABLE
    said_again(world, url, settled)
    assert reason(world.verify(absent, NOW)) is Reason.UNTRUSTED_ISSUER
    web.documents[url] = document
    world.clock.now += 301
    world.trust._refresher.wake()
    settled(lambda: isinstance(world.verify(absent, NOW), Verified))


def test_a_tenant_of_which_there_is_no_document_at_all_is_said_to_be_missing(
    build: Any, web: Any, ring: Any, settled: Any
) -> None:
    for path in ("", "/v2.0"):
        url = f"{HOST}/{T1}{path}/.well-known/openid-configuration"
        web.documents[url] = Unusable(f"{url} answered 400", absent=True)
    world = build(web, {"name": "entra", "entra": CONFIG | {"tenants": [T1]}}, ready=False)
    settled(lambda: "answered 400" in str(world.trust.missing()))
    assert reason(world.verify(ring.mint("rsa", V2_CLAIMS))) is Reason.ISSUER_UNAVAILABLE


@pytest.mark.must(9, 32)
@pytest.mark.parametrize("issuer", [V2.format(T3), "https://evil.example/", V2.format("common")])
def test_metadata_of_another_tenant_is_refused(
    build: Any, web: Any, ring: Any, settled: Any, issuer: str
) -> None:
    for path in ("", "/v2.0"):
        web.publish(f"{HOST}/{T1}{path}", issuer, ring.jwks("rsa"))
    world = build(web, {"name": "entra", "entra": CONFIG | {"tenants": [T1]}}, ready=False)
    settled(lambda: "of another tenant" in str(world.trust.missing()))
    denied = world.verify(ring.mint("rsa", V2_CLAIMS | {"iss": issuer}))
    assert reason(denied) in {Reason.UNTRUSTED_ISSUER, Reason.ISSUER_UNAVAILABLE}


def test_a_listed_tenant_stands_for_the_template_of_its_own_metadata(
    build: Any, web: Any, ring: Any
) -> None:
    for path in ("", "/v2.0"):
        web.publish(f"{HOST}/{T1}{path}", V2.format("{tenantid}"), ring.jwks("rsa"))
    world = build(web, {"name": "entra", "entra": CONFIG | {"tenants": [T1]}})
    assert isinstance(world.verify(ring.mint("rsa", V2_CLAIMS)), Verified)
    other = V2_CLAIMS | {"iss": V2.format(T3), "tid": T3}
    assert reason(world.verify(ring.mint("rsa", other))) is Reason.TENANT_NOT_ALLOWED


def test_an_external_id_tenant_has_its_id_in_the_host_too(build: Any, web: Any, ring: Any) -> None:
    iss, base = f"https://{T1}.ciamlogin.com/{T1}/v2.0", "https://contoso.ciamlogin.com"
    web.publish(f"{base}/{T1}/v2.0", iss, ring.jwks("rsa"))
    config = {"authority": base, "tenants": [T1], "audiences": ["api-guid"]}
    world = build(web, {"name": "ciam", "entra": config})
    assert isinstance(world.verify(ring.mint("rsa", V2_CLAIMS | {"iss": iss})), Verified)
    other = {"iss": iss.replace(T1, T3), "tid": T3}
    assert reason(world.verify(ring.mint("rsa", V2_CLAIMS | other))) is Reason.TENANT_NOT_ALLOWED


def test_an_external_id_tenant_has_no_v1_and_lacks_nothing(
    build: Any, web: Any, ring: Any, settled: Any
) -> None:
    iss, base = f"https://{T1}.ciamlogin.com/{T1}/v2.0", "https://contoso.ciamlogin.com"
    web.publish(f"{base}/{T1}/v2.0", iss, ring.jwks("rsa"))
    url = f"{base}/{T1}/.well-known/openid-configuration"
    web.documents[url] = Unusable(f"{url} answered 404", absent=True)
    config = {"authority": base, "tenants": [T1], "audiences": ["api-guid"]}
    world = build(web, {"name": "ciam", "entra": config})
    assert world.trust.missing() == []
    said_again(world, url, settled)
    world.clock.now = NOW
    user = world.verify(ring.mint("rsa", V2_CLAIMS | {"iss": iss, "idp": "google.com"}))
    assert isinstance(user, Verified)
    assert user.principal.issuer == iss
    for foreign in (V2.format(T1), V1.format(T1), f"{base}/{T1}/v2.0"):
        found = world.verify(ring.mint("rsa", V2_CLAIMS | {"iss": foreign}))
        assert reason(found) is Reason.UNTRUSTED_ISSUER  # never 503: it will not get better


# Sovereign clouds: (authority, v1 issuer, cloud_instance_name), as their metadata have them.
CLOUDS = {
    "public": (HOST, "https://sts.windows.net/{}/", "microsoftonline.com"),
    "US": ("https://login.microsoftonline.us", "https://sts.windows.net/{}/", "microsoftonline.us"),
    "China": (
        "https://login.partner.microsoftonline.cn",
        "https://sts.chinacloudapi.cn/{}/",
        "partner.microsoftonline.cn",
    ),
}


@pytest.mark.must(9)
@pytest.mark.parametrize("cloud", CLOUDS)
def test_a_sovereign_cloud_says_itself_what_its_issuers_are(
    build: Any, web: Any, ring: Any, cloud: str
) -> None:
    base, old, name = CLOUDS[cloud]
    new = base + "/{}/v2.0"
    jwks = ring.jwks(
        ring.jwk("rsa", issuer=new.format("{tenantid}"), cloud_instance_name=name),
        ring.jwk("rsa-b", issuer=new.format("{tenantid}"), cloud_instance_name="other"),
    )
    web.publish(f"{base}/{T1}", old.format(T1), ring.jwks("rsa"), cloud_instance_name=name)
    web.publish(f"{base}/{T1}/v2.0", new.format(T1), jwks, cloud_instance_name=name)
    config = {"authority": base, "tenants": [T1], "audiences": CONFIG["audiences"]}
    world = build(web, {"name": "entra", "entra": config})
    for claims in (
        V2_CLAIMS | {"iss": new.format(T1)},
        V1_CLAIMS | {"iss": old.format(T1)},
    ):
        found = world.verify(ring.mint("rsa", claims))
        assert isinstance(found, Verified)
        assert found.principal.issuer == claims["iss"]
    foreign = V2_CLAIMS | {"iss": new.format(T1)}
    assert reason(world.verify(ring.mint("rsa-b", foreign))) is Reason.INVALID_TOKEN
    for base_of_another, *_ in (each for each in CLOUDS.values() if each[0] != base):
        other = V2_CLAIMS | {"iss": f"{base_of_another}/{T1}/v2.0"}
        assert reason(world.verify(ring.mint("rsa", other))) is Reason.UNTRUSTED_ISSUER


@pytest.mark.parametrize(
    "said",
    [
        {"idp": f"https://sts.windows.net/{T3}/"},
        {"acct": 1},
        {"idp": "live.com", "acct": 1, "email": "guest@x.example"},
    ],
    ids=str,
)
def test_a_guest_is_a_user_of_the_tenant_that_invited_them(
    entra: Any, ring: Any, said: dict[str, Any]
) -> None:
    """Their own tenant need not be allowed: it is ours that gave them an object id."""
    found = entra.verify(ring.mint("rsa", V2_CLAIMS | said))
    assert isinstance(found, Verified)
    assert (found.principal.tenant, found.principal.subject) == (T1, "user-oid")
    assert found.principal.kind is Kind.USER
    # a route can tell guests apart by these claims
    assert {name: found.principal.claims[name] for name in said} == said
