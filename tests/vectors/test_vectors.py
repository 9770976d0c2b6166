"""Every corpus against our code, and that docs/vectors.md says what the run gives.

The whole folder of corpora is optional; where it is there, a wrong number of cases fails.
"""

from functools import cache
from pathlib import Path

import pytest

from vectors.case import ABSENT, Case, Corpus, corpora
from vectors.document import CORPORA, FILE, POLICIES, policy, render

BY_NAME = {corpus.name: corpus for corpus in CORPORA}


@pytest.fixture(scope="session")
def root() -> Path:
    """The test vectors of SECURITY.md, where they are at hand."""
    found = corpora()
    if found is None:
        pytest.skip(ABSENT)
    return found


@cache
def cases(corpus: str, root: Path) -> list[Case]:
    return list(BY_NAME[corpus].read(root))


def valid_but_refused(corpus: str, root: Path) -> set[str]:
    return {case.id for case in cases(corpus, root) if case.wrongly_rejected}


@pytest.mark.must(1, 2, 3, 4, 6, 12, 35)
@pytest.mark.parametrize("corpus", CORPORA, ids=lambda corpus: corpus.name)
def test_nothing_is_wrongly_accepted_and_nothing_refused_without_a_policy(
    corpus: Corpus, root: Path
) -> None:
    found = cases(corpus.name, root)
    assert len(found) == corpus.count
    assert [case.id for case in found if case.wrongly_accepted] == []
    assert [case for case in found if case.wrongly_rejected and not policy(case)] == []


@pytest.mark.parametrize(
    ("corpus", "least"),
    [
        ("wycheproof json_web_signature", 20),
        ("wycheproof json_web_key", 1),
        ("wycheproof json_web_crypto", 2),
        ("wycheproof rsa_signature_2048_sha256", 9),
        ("wycheproof rsa_pss_2048_sha256_mgf1_32", 63),
        ("wycheproof ecdsa_secp256r1_sha256_p1363", 173),
        ("wycheproof ecdsa_secp384r1_sha384_p1363", 193),
        ("wycheproof ecdsa_secp521r1_sha512_p1363", 231),
        ("wycheproof ed25519", 88),
        ("jose-cookbook tokens", 4),
        ("jose-cookbook keys", 2),
        ("pyjwt-keys advisory", 2),
        ("pyjwt-keys keys", 7),
        ("ms-identitymodel", 3),
        ("JSONTestSuite", 186),
        ("naughty-strings claims", 515),
        ("naughty-strings headers", 515),
    ],
)
def test_what_is_good_is_accepted(corpus: str, least: int, root: Path) -> None:
    """Or refusing everything would pass the test above."""
    assert sum(not case.refusal for case in cases(corpus, root)) >= least


@pytest.mark.must(2)
def test_the_valid_signatures_that_policy_refuses_are_these(root: Path) -> None:
    """367 and 370 are byte-identical to the valid 357 and, like it, symmetric."""
    name = "wycheproof json_web_signature"
    wrong = [case for case in cases(name, root) if case.wrongly_rejected]
    asymmetric = {case.id for case in wrong if "symmetric" not in case.refusal}
    assert asymmetric == {"346", "347", "350", "351", "372", "373"}
    assert valid_but_refused("pyjwt-keys keys", root) == {"ec_pub_secp256k1"}
    assert all("duplicated_key" in name for name in valid_but_refused("JSONTestSuite", root))


def test_every_policy_is_needed(root: Path) -> None:
    refusals = [case.refusal for each in CORPORA for case in cases(each.name, root)]
    assert [part for part, _ in POLICIES if not any(part in said for said in refusals)] == []


def test_the_document_is_what_the_run_gives(root: Path) -> None:
    found = {corpus.name: cases(corpus.name, root) for corpus in CORPORA}
    again = "docs/vectors.md is not what the run gives: say make vectors"
    assert FILE.read_text(encoding="utf-8") == render(found, root), again
