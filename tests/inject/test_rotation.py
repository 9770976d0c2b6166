"""The certificate changes, and the API server never meets a stranger."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path

import pytest

from agent.inject.certificate import (
    Certificate,
    Unusable,
    authorities,
    context,
    made,
    read,
)
from agent.inject.cluster import ApiServer, Levels, Unanswered, trusted
from agent.inject.keeper import ClusterKeeper, FileKeeper, Place, Serving, service_names
from agent.inject.rotation import SETTLE, State, Step, due, restored, stored, taken
from tests.inject.conftest import SECRET, TOKEN, WEBHOOKS, Cluster

NAMES = tuple(service_names("attache-injector", "attache-system"))
PLACE = Place("attache-system", "attache-injector", "attache-injector", NAMES)
DAY = 86400.0
LIFE = 90 * DAY
START = 1_800_000_000.0


def test_the_api_servers_name_for_the_service_is_in_the_certificate() -> None:
    assert NAMES[0] == "attache-injector.attache-system.svc"
    certificate = made(NAMES, START, LIFE)
    assert set(certificate.names) == set(NAMES)
    assert certificate.ends - START == LIFE
    assert b"PRIVATE" not in repr(certificate).encode()


class TestSteps:
    def test_a_life_in_steps(self) -> None:
        state, bundle = State(), b""
        assert due(state, bundle, NAMES, START) is Step.FIRST
        state = taken(state, Step.FIRST, NAMES, START, LIFE)
        first = state.serving
        assert first is not None
        assert due(state, bundle, NAMES, START + 1) is Step.NOTHING
        bundle = state.bundle
        late = START + LIFE * 2 / 3 + 1
        assert due(state, bundle, NAMES, late - 600) is Step.NOTHING
        assert due(state, bundle, NAMES, late) is Step.NEXT
        state = taken(state, Step.NEXT, NAMES, late, LIFE)
        assert state.serving == first
        assert len(authorities(state.bundle)) == 2
        # not before the API server trusts it, nor before every API server does
        assert due(state, bundle, NAMES, late + SETTLE) is Step.NOTHING
        bundle = state.bundle
        assert due(state, bundle, NAMES, late + SETTLE - 1) is Step.NOTHING
        assert due(state, bundle, NAMES, late + SETTLE) is Step.PROMOTE
        following = taken(state, Step.PROMOTE, NAMES, late + SETTLE, LIFE)
        assert following.serving == state.next
        assert first.authority in following.bundle  # a replica may serve it for a moment
        assert due(following, bundle, NAMES, late + SETTLE + 1) is Step.NOTHING

    def test_one_that_has_ended_or_has_other_names_is_replaced_at_once(self) -> None:
        state = taken(State(), Step.FIRST, NAMES, START, LIFE)
        assert due(state, state.bundle, NAMES, START + LIFE) is Step.FIRST
        assert due(state, state.bundle, ("other.svc",), START) is Step.FIRST
        assert due(state, state.bundle, NAMES, START - DAY) is Step.FIRST

    def test_a_next_one_that_was_never_trusted_is_made_anew_when_it_ends(self) -> None:
        state = State(made(NAMES, START, 3 * LIFE), made(NAMES, START, LIFE), START)
        assert due(state, b"", NAMES, START + LIFE - 1) is Step.NOTHING
        assert due(state, b"", NAMES, START + LIFE + 1) is Step.NEXT

    def test_a_secret_holds_the_whole_state(self) -> None:
        state = taken(State(), Step.FIRST, NAMES, START, LIFE)
        assert restored(stored(state)) == state
        state = taken(state, Step.NEXT, NAMES, START + LIFE, LIFE)
        assert restored(stored(state)) == state

    @pytest.mark.parametrize(
        "data",
        [
            {},
            {"tls.crt": "!"},
            {"tls.crt": base64.b64encode(b"x").decode()},
            {"ca.crt": base64.b64encode(b"x").decode()},
            {"next-since": base64.b64encode(b"soon").decode()},
        ],
    )
    def test_a_broken_secret_is_an_empty_one(self, data: dict[str, str]) -> None:
        assert due(restored(data), b"", NAMES, START) is Step.FIRST

    def test_a_key_of_another_certificate_is_none(self) -> None:
        one, two = made(NAMES, START, LIFE), made(NAMES, START, LIFE)
        with pytest.raises(Unusable, match="not this certificate's"):
            read(one.authority, one.chain, two.key)
        data = stored(State(one, None, 0.0, one.authority))
        data["tls.key"] = base64.b64encode(two.key).decode()
        assert restored(data).serving is None


class TestCluster:
    def test_two_replicas_agree_and_the_api_server_trusts_them(self, cluster: Cluster) -> None:
        servings = [Serving(), Serving()]
        keepers = [
            ClusterKeeper(ApiServer(cluster.url, cluster.account), PLACE, serving, LIFE)
            for serving in servings
        ]
        for keeper in keepers:
            keeper.tick(START)
        assert servings[0].certificate == servings[1].certificate
        assert servings[0].certificate is not None
        trusts = {base64.b64decode(bundle) for bundle in cluster.api.bundles()}
        assert trusts == {servings[0].certificate.authority}
        assert cluster.api.writes == ["PUT attache-injector", "PATCH attache-injector"]
        late = START + LIFE * 0.7
        for now in (late, late + 1, late + SETTLE, late + SETTLE + 1):
            for keeper in keepers:
                keeper.tick(now)
                assert due_is_served(cluster, servings)
        assert servings[0].certificate == servings[1].certificate
        assert servings[0].certificate.begins > START
        assert cluster.api.objects[SECRET]["metadata"]["labels"] == {"a": "b"}

    def test_who_is_second_reads_what_the_first_wrote(self, cluster: Cluster) -> None:
        api = ApiServer(cluster.url, cluster.account)
        mine = api.secret("attache-system", "attache-injector")
        api.replace_secret("attache-system", "attache-injector", mine)
        with pytest.raises(Unanswered) as conflict:
            api.replace_secret("attache-system", "attache-injector", mine)
        assert conflict.value.status == 409

    def test_a_bundle_that_somebody_took_away_is_put_back(self, cluster: Cluster) -> None:
        serving = Serving()
        keeper = ClusterKeeper(ApiServer(cluster.url, cluster.account), PLACE, serving, LIFE)
        keeper.tick(START)
        del cluster.api.objects[WEBHOOKS]["webhooks"][1]["clientConfig"]["caBundle"]
        keeper.tick(START + 10)
        assert len(set(cluster.api.bundles())) == 1

    def test_what_is_served_goes_on_when_the_api_server_is_away(self, cluster: Cluster) -> None:
        serving = Serving()
        keeper = ClusterKeeper(ApiServer(cluster.url, cluster.account), PLACE, serving, LIFE)
        keeper.tick(START)
        before = serving.context()
        cluster.api.broken = True
        with pytest.raises(Unanswered, match="503: etcd is away"):
            keeper.tick(START + 10)
        assert serving.context() is before

    def test_the_token_is_reread_and_never_told(self, cluster: Cluster) -> None:
        api = ApiServer(cluster.url, cluster.account)
        token = cluster.account / "token"
        token.write_text("an old one")
        with pytest.raises(Unanswered, match="401") as refused:
            api.namespace("shop")
        assert "an old one" not in str(refused.value)
        token.write_text(TOKEN)
        with pytest.raises(Unanswered, match="404"):
            api.namespace("shop")

    def test_an_api_server_of_another_authority_gets_no_token(self, cluster: Cluster) -> None:
        (cluster.account / "ca.crt").write_bytes(made(["x"], START, LIFE).authority)
        with pytest.raises(Unanswered, match="cannot be asked: SSLError"):
            ApiServer(cluster.url, cluster.account).namespace("shop")


def due_is_served(cluster: Cluster, servings: list[Serving]) -> bool:
    """Whether the API server trusts whatever each replica serves."""
    (bundle,) = set(trusted(cluster.api.objects[WEBHOOKS]))
    return all(
        serving.certificate and serving.certificate.authority in bundle for serving in servings
    )


class TestLevels:
    def test_a_level_is_believed_for_a_moment_and_for_longer_in_an_outage(
        self, cluster: Cluster
    ) -> None:
        now = [0.0]
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        cluster.api.put("/api/v1/namespaces/shop", {"metadata": {"labels": labels}})
        levels = Levels(ApiServer(cluster.url, cluster.account), lambda: now[0])
        assert levels("shop") == "restricted"
        cluster.api.put("/api/v1/namespaces/shop", {"metadata": {"labels": {}}})
        assert levels("shop") == "restricted"
        now[0] = 11
        assert levels("shop") == "privileged"
        cluster.api.broken = True
        now[0] = 200
        assert levels("shop") == "privileged"
        now[0] = 400
        assert levels("shop") is None
        assert levels("never-seen") is None


class TestFiles:
    def test_a_new_pair_is_served_and_half_of_one_is_not(self, tmp_path: Path) -> None:
        one, two = made(NAMES, START, LIFE), made(NAMES, START, LIFE)
        serving = Serving()
        keeper = FileKeeper(tmp_path, serving)
        with pytest.raises(Unusable, match="cannot be read"):
            keeper.tick(0)
        write(tmp_path, one.chain, one.key)
        keeper.tick(0)
        first = serving.context()
        assert isinstance(first, ssl.SSLContext)
        keeper.tick(0)
        assert serving.context() is first
        write(tmp_path, two.chain, one.key)
        with pytest.raises(Unusable):
            keeper.tick(0)
        assert serving.context() is first
        write(tmp_path, two.chain, two.key)
        keeper.tick(0)
        assert serving.context() is not first

    def test_tls_1_1_is_not_spoken(self) -> None:
        certificate: Certificate = made(NAMES, START, LIFE)
        assert context(certificate).minimum_version == ssl.TLSVersion.TLSv1_2


def write(folder: Path, chain: bytes, key: bytes) -> None:
    (folder / "tls.crt").write_bytes(chain)
    (folder / "tls.key").write_bytes(key)
