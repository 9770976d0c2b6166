"""The list in force through a reload: it changes, it holds, or the reload is refused."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config.loading import ConfigInvalid
from agent.config.revocation import Revocation
from agent.errors import Reason
from agent.identity.principal import IssuerKind, Kind, Principal, RawToken, Verified
from agent.identity.revocation.guard import RevocationGuard, nothing_revoked

ANN = Verified(
    RawToken("t"), b"h",
    Principal(
        Kind.USER, "ann", "", "https://i", "i", IssuerKind.OIDC, "c",
        frozenset(), frozenset(), 2000.0, {},
    ),
    "k", 0.0,
)  # fmt: skip


def rules(file: Path, **more: str) -> Revocation:
    return Revocation.model_validate({"file": str(file), **more})


def says(guard: RevocationGuard) -> str:
    denial = guard.denial(ANN, 1000.0)
    return denial.reason.value if denial else "allow"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "revoked.yaml"
    file.write_text("- subject: ann\n")
    return file


@pytest.fixture
def guard(file: Path) -> Iterator[RevocationGuard]:
    ticks = itertools.count()
    made = RevocationGuard(rules(file), lambda: 1000.0, lambda: float(next(ticks)), lambda _: None)
    made.start()
    yield made
    made.stop()


def test_without_a_section_nothing_is_asked_and_nothing_is_said() -> None:
    guard = RevocationGuard(None, lambda: 0.0, lambda: 0.0, lambda _: None)
    guard.start()
    assert says(guard) == "allow"
    assert guard.status() is None
    assert guard.standing().missing == guard.standing().degraded == ()
    assert guard.prepare(None) is None
    guard.stop()
    assert nothing_revoked(ANN, 0.0) is None


def test_an_unchanged_section_keeps_its_watch(guard: RevocationGuard, file: Path) -> None:
    before = guard.status()
    guard.adopt(guard.prepare(rules(file)))
    assert guard.status() == before
    assert says(guard) == Reason.REVOKED


def test_another_list_takes_over_when_it_is_adopted(guard: RevocationGuard, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("[]\n")
    watch = guard.prepare(rules(other))
    assert says(guard) == Reason.REVOKED
    guard.adopt(watch)
    assert says(guard) == "allow"


def test_a_list_that_is_not_there_leaves_the_one_before_in_force(
    guard: RevocationGuard, tmp_path: Path
) -> None:
    guard.adopt(guard.prepare(rules(tmp_path / "absent.yaml", onLoss="notReady")))
    assert says(guard) == Reason.REVOKED
    assert "is lost" in guard.standing().missing[0]


@pytest.mark.must(43)
def test_a_reload_that_leaves_no_list_at_all_is_refused(tmp_path: Path, file: Path) -> None:
    guard = RevocationGuard(None, lambda: 1000.0, lambda: 0.0, lambda _: None)
    with pytest.raises(ConfigInvalid, match="no list was read"):
        guard.prepare(rules(tmp_path / "absent.yaml"))
    assert says(guard) == "allow"
    guard.adopt(guard.prepare(rules(file)))
    assert says(guard) == Reason.REVOKED
    guard.adopt(guard.prepare(None))
    assert says(guard) == "allow"
    guard.stop()
