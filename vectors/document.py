"""What goes into docs/vectors.md? The same text for the same answers, whenever it is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from vectors import cookbook, identitymodel, jsonsuite, naughty, pyjwt, wycheproof
from vectors.case import HERE, Case, Corpus, Said

FILE = HERE / "docs" / "vectors.md"
ROOMS = (wycheproof, cookbook, pyjwt, identitymodel, jsonsuite, naughty)
ORIGINS = tuple(room.ORIGIN for room in ROOMS)
CORPORA: tuple[Corpus, ...] = tuple(corpus for room in ROOMS for corpus in room.CORPORA)

# Why we refuse what a corpus calls valid: our own sentence (a part of it), and the policy behind.
POLICIES = (
    (
        "not a compact JWS of three",
        "JWE, detached and JSON forms, and stray characters in a part, are no compact JWS "
        "(RFC 7515 §7.1, SECURITY.md 1)",
    ),
    (
        "private or symmetric key",
        "HMAC needs the issuer's own secret: symmetric keys never verify (RFC 8725 §3.2, "
        "SECURITY.md 2)",
    ),
    (
        "algorithm is not that of its key",
        "one algorithm is bound to each key: this one says PS256 and the token PS384 "
        "(RFC 8725 §3.1, SECURITY.md 2)",
    ),
    (
        "algorithm is not one that the issuer may use",
        "the key's `alg` is `ES521`, a name that no registry has (RFC 7518 §3.1)",
    ),
    ("its curve is not P-256", "secp256k1 (ES256K) is on no list of ours (SECURITY.md 2)"),
    ("a member occurs twice", "duplicate members have no single meaning (SECURITY.md 6)"),
    ("byte order mark", "a byte order mark is refused (RFC 8259 §8.1, SECURITY.md 6)"),
    (
        "n or e is not base64url",
        "the key is in plain base64, or only in `x5c`: `n` and `e` are base64url (RFC 7518 §6.3.1)",
    ),
    ("not an absolute URL", "its `jwks_uri` is a file of that test suite (SECURITY.md 32)"),
    ("has no jwks_uri", "metadata without `jwks_uri` leads to no keys (OpenID Discovery §3)"),
)
_HEAD = """\
# Vectors

What other projects collected to break JOSE libraries, JSON parsers and metadata readers, thrown at
our own code by `make vectors`, which writes this file. A test fails when the file is not what the
run gives, when a corpus has another number of cases, and when anything is wrongly accepted.

- *Wrongly accepted*: the corpus says that it must be refused, and we took it. This must be 0.
- *Wrongly rejected*: the corpus calls it valid and we refuse it. Each one is listed below with the
  policy that it falls under.
- *Either*: the corpus leaves it open; both answers are right, and nothing broke.

Where a vector signs something other than claims, taking its signature counts as accepting it: the
whole verifier would refuse it anyway.

"""


def policy(case: Case) -> str:
    """The policy under which a valid vector is refused; empty where there is none."""
    return next((why for part, why in POLICIES if part in case.refusal), "")


def render(found: Mapping[str, list[Case]], root: Path) -> str:
    """The whole document; *found* are the cases by the corpus's name."""
    lines = [
        "| corpus | how | cases | must be refused | wrongly accepted | either | wrongly rejected |",
        "|---|---|---:|---:|---:|---:|---:|",
        *(_row(corpus, found[corpus.name]) for corpus in CORPORA),
        _total(found),
        "",
        "## Where they come from",
        "",
        "| folder | origin | commit | licence |",
        "|---|---|---|---|",
        *(f"| {o.folder} | {o.url} | {o.commit(root)[:12]} | {o.licence} |" for o in ORIGINS),
        "",
        "They are read beside the project, not copied; `ATTACHE_CORPORA` names another folder.",
        "",
        "## Wrongly accepted",
        "",
        *_accepted(found),
        "",
        "## Wrongly rejected, and why",
        "",
        *_rejected(found),
    ]
    return _HEAD + "\n".join(lines).rstrip() + "\n"


def _row(corpus: Corpus, cases: list[Case]) -> str:
    return f"| {corpus.name} | {corpus.how} | {_figures(cases)} |"


def _total(found: Mapping[str, list[Case]]) -> str:
    return f"| **all** | | {_figures([case for cases in found.values() for case in cases])} |"


def _figures(cases: list[Case]) -> str:
    figures = (
        len(cases),
        sum(case.said is Said.INVALID for case in cases),
        sum(case.wrongly_accepted for case in cases),
        sum(case.said is Said.EITHER for case in cases),
        sum(case.wrongly_rejected for case in cases),
    )
    return " | ".join(map(str, figures))


def _accepted(found: Mapping[str, list[Case]]) -> Iterable[str]:
    wrong = [
        f"- {n}: {case.id}" for n, cases in found.items() for case in cases if case.wrongly_accepted
    ]
    return wrong or ["None."]


def _rejected(found: Mapping[str, list[Case]]) -> Iterable[str]:
    for name, cases in found.items():
        grouped: dict[str, list[str]] = {}
        for case in cases:
            if case.wrongly_rejected:
                why = policy(case) or f"NO POLICY: {case.refusal}"
                grouped.setdefault(why, []).append(case.id)
        if grouped:
            yield f"**{name}**"
            yield ""
            for why, ids in grouped.items():
                yield f"- {why}: {', '.join(ids)}"
            yield ""
