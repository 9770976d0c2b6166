"""Chains of real mints and real verifications, in any order: what holds at every hop."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.config.loading import parse
from agent.context.caller import Caller
from agent.credentials.keyring import SigningKey
from agent.credentials.mint import Grant, Minter, Rules, enters_twice, too_many_hops
from agent.errors import Denial, Reason
from agent.identity.fetch import Fetcher
from agent.identity.principal import Kind, RawToken, Verified
from agent.identity.trust import Trust
from agent.moment import Moment
from demo.trust import public_jwk
from tests.credentials.conftest import NOW, caller

WORKLOADS = ("edge", "a", "b", "c", "d")
SCOPES = ("read", "write", "pay")
MAX_HOPS = 4


class Domain:
    """A trust domain of a few workloads, each with its key, its minter and its own verifier."""

    def __init__(self, folder: Any) -> None:
        keys = {name: generate_private_key(SECP256R1()) for name in WORKLOADS}
        document = folder / "trust.json"
        published = [
            {**public_jwk(key.public_key()), "workload": f"shop/{name}"}
            for name, key in keys.items()
        ]
        document.write_text(json.dumps({"keys": published}))
        self._keys = {name: SigningKey.of(key) for name, key in keys.items()}
        self.trusts = {name: self._trust(name, str(document)) for name in WORKLOADS}

    def minter(self, name: str) -> Minter:
        """A new one: what it made is for the transaction of one example only."""
        rules = Rules(f"https://{name}.shop", f"shop/{name}", 300.0, MAX_HOPS, "shop")
        return Minter(rules, lambda now: self._keys[name], lambda: "jti")

    def _trust(self, name: str, document: str) -> Trust:
        internal = {
            "trustDomain": "shop",
            "issuers": [f"https://{each}.shop" for each in WORKLOADS],
            "audience": name,
            "jwks": {"file": document},
        }
        config = {
            "workload": {"name": name, "namespace": "shop"},
            "listeners": {"inbound": {"application": "127.0.0.1:1"}},
            "issuers": [{"name": "mesh", "internal": internal}],
            "routes": [{"path": "/**"}],
        }
        trust = Trust.build(parse(json.dumps(config).encode(), "a"), lambda: NOW, Fetcher())
        trust.start()
        assert trust.wait_ready(30)
        return trust

    def stop(self) -> None:
        for trust in self.trusts.values():
            trust.stop()


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Domain]:
    made = Domain(tmp_path_factory.mktemp("domain"))
    yield made
    made.stop()


def received(verified: Verified) -> Caller:
    """The inbound request that brought this token."""
    p = verified.principal
    return Caller(verified, "h", p.txn, "r", "0" * 32, p.expires_at, verified.token_hash)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(WORKLOADS[1:]),
        st.lists(st.sampled_from(SCOPES), unique=True),
        st.sampled_from([Kind.USER, Kind.USER, Kind.USER, Kind.APP]),
        st.floats(min_value=0, max_value=40),
    ),
    min_size=1,
    max_size=7,
)


@pytest.mark.must(30)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=STEPS, life=st.floats(min_value=61, max_value=4000))
def test_whatever_way_a_request_takes(
    domain: Domain, steps: list[tuple[str, list[str], Kind, float]], life: float
) -> None:
    who = caller("external.token", "txn-7", expires_at=NOW + life)
    here, now, path = "edge", NOW, ["edge"]
    scopes: set[str] | None = None
    ends, subject = NOW + life, ""
    for to, wanted, speaker, passed in steps:
        now += passed
        if who.verified and who.verified.principal.kind is Kind.APP:
            speaker = Kind.APP  # `acting_as`: nobody's call becomes a user's
        grant = Grant(to, tuple(wanted))
        minted = domain.minter(here).mint(grant, who, speaker, now)
        if isinstance(minted, Denial):
            assert minted.reason is refusal(path, scopes, wanted, now, ends)
            return
        raw = RawToken(minted.token)
        for name, trust in domain.trusts.items():
            found = trust.verify(raw, Moment(now, 5.0))
            assert isinstance(found, Verified) == (name == to)
        verified = domain.trusts[to].verify(raw, Moment(now, 5.0))
        assert isinstance(verified, Verified)
        p = verified.principal
        assert p.actors == tuple(f"shop/{name}" for name in reversed(path))
        assert p.hops == len(path) <= MAX_HOPS
        assert p.txn == "txn-7"
        assert p.scopes <= set(wanted) & (scopes if scopes is not None else set(SCOPES))
        assert now < p.expires_at <= min(ends, now + 300)
        assert p.kind is speaker
        if speaker is Kind.USER:
            assert subject in ("", p.claims["sub"])
            subject = p.claims["sub"]
        else:
            assert p.claims["sub"] == f"shop/{here}"
        if looped := enters_twice(p, f"shop/{to}") or too_many_hops(p, MAX_HOPS):
            assert looped.reason is Reason.CALL_LOOP
            assert to in path
            return
        assert to not in path
        assert verified.token_hash == hashlib.sha256(minted.token.encode()).digest()
        scopes, ends = set(p.scopes), p.expires_at
        who, here = received(verified), to
        path.append(to)


def refusal(
    path: list[str], scopes: set[str] | None, wanted: list[str], now: float, ends: float
) -> Reason:
    """Why no token may be minted here."""
    if int(min(ends, now + 300)) <= now:
        return Reason.EXPIRED_TOKEN
    if len(path) > MAX_HOPS:
        return Reason.CALL_LOOP
    assert scopes is not None
    assert wanted
    assert not scopes & set(wanted)
    return Reason.INSUFFICIENT_SCOPE
