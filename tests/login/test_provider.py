"""What a provider is asked for, and what its answers mean."""

from __future__ import annotations

import pytest

from agent.config.identities import OAuthIdentity
from agent.config.login import Login
from agent.credentials.answers import Answer
from agent.credentials.oauth import OAuthClient
from agent.errors import Denial, Reason
from agent.login.flow import Asked, begin
from agent.login.provider import Endpoints, OidcProvider, Tokens

FLOW = begin("gateway", "/", "https://shop/cb", Asked(), "", 0.0, lambda size: b"r" * size)


class FakeClient(OAuthClient):
    """Answers as it is told, and notes the form."""

    def __init__(self, answer: Answer) -> None:
        identity = {"issuer": "https://id", "clientId": "us", "authMethod": "none"}
        super().__init__("gateway", OAuthIdentity.model_validate(identity))
        self.answer = answer
        self.forms: list[dict[str, str]] = []

    def ask(self, form: dict[str, str], seconds: float) -> Answer:
        self.forms.append(form)
        return self.answer


def provider(answer: Answer = Answer(0), **login: object) -> OidcProvider:  # noqa: B008 - frozen
    said = Login.model_validate({"identity": "gateway", "scopes": ["access"], **login})
    return OidcProvider(said, "gateway", "people", FakeClient(answer), "https://id")


SCOPES = [
    (frozenset(), "openid profile offline_access access"),
    (frozenset({"openid", "profile", "email"}), "openid profile access"),
    (frozenset({"offline_access"}), "openid offline_access access"),
]


@pytest.mark.parametrize(("known", "asked"), SCOPES)
def test_of_what_we_add_only_what_is_known_there_is_asked_for(known, asked):
    assert provider().scopes_at(Endpoints("https://id/auth", scopes=known)) == asked


def test_what_the_operator_writes_is_asked_for_in_any_case():
    made = provider(scopes=["offline_access"])
    found = made.scopes_at(Endpoints("https://id/auth", scopes=frozenset({"openid"})))
    assert found == "openid offline_access"


def test_tokens_come_with_their_ends():
    body = {"access_token": "AT", "token_type": "Bearer", "refresh_token": "RT", "id_token": "IT"}
    found = provider(Answer(200, body | {"expires_in": 60})).redeem("c", FLOW, 5.0)
    assert isinstance(found, Tokens)
    assert (found.access, found.refresh, found.id_token) == ("AT", "RT", "IT")
    assert not {"AT", "RT", "IT"} & set(repr(found).split("'"))


def test_the_resource_is_named_at_every_request():
    made = provider(Answer(400), resource="https://api")
    made.redeem("c", FLOW, 5.0)
    made.renew("r", "", 5.0)
    forms = made._oauth.forms
    assert [form["resource"] for form in forms] == ["https://api"] * 2
    assert forms[0]["code_verifier"] == FLOW.verifier


ANSWERS = [
    (Answer(400, {"error": "invalid_grant"}), Reason.INTERACTION_REQUIRED),
    (Answer(400, {"error": "login_required"}), Reason.INTERACTION_REQUIRED),
    (Answer(401, {"error": "invalid_client"}), Reason.CREDENTIAL_ERROR),
    (Answer(0, failure="no secret", ours=True), Reason.CREDENTIAL_ERROR),
    (Answer(0, failure="does not answer"), Reason.ISSUER_UNAVAILABLE),
    (Answer(503, {"error": "invalid_grant"}), Reason.ISSUER_UNAVAILABLE),
    (Answer(429, {"error": "slow_down"}, retry_after=7), Reason.ISSUER_UNAVAILABLE),
    (Answer(200, {"access_token": "a b"}), Reason.ISSUER_UNAVAILABLE),
    (Answer(200, {"access_token": "a", "token_type": "DPoP"}), Reason.ISSUER_UNAVAILABLE),
    (Answer(200, None), Reason.ISSUER_UNAVAILABLE),
]


@pytest.mark.parametrize(("answer", "reason"), ANSWERS)
def test_only_what_the_provider_refuses_for_good_ends_a_session(answer, reason):
    found = provider(answer).renew("r", "", 5.0)
    assert isinstance(found, Denial)
    assert found.reason is reason


def test_a_claims_challenge_is_passed_on_if_it_is_one():
    for claims, kept in (('{"access_token":{}}', True), ("[1]", False), ("x", False), (7, False)):
        found = provider(Answer(400, {"error": "invalid_grant", "claims": claims})).renew(
            "r", "", 1
        )
        assert (found.claims is not None) is kept


def test_signing_out_names_the_client_and_where_to_come_back():
    there = Endpoints("https://id/auth", "https://id/out?x=1")
    url = provider().goodbye(there, "i.d.t", "https://shop/")
    assert url.startswith("https://id/out?x=1&client_id=us&post_logout_redirect_uri=https%3A%2F%2F")
    assert url.endswith("&id_token_hint=i.d.t")
    assert provider().goodbye(Endpoints("https://id/auth"), "", "https://shop/") == "https://shop/"
