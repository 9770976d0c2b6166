"""Throw every corpus at our code, and write docs/vectors.md: `make vectors`."""

from __future__ import annotations

import sys

from vectors.case import ABSENT, corpora
from vectors.document import CORPORA, FILE, policy, render


def main() -> int:
    """Run all; 1 where something was wrongly accepted, lost, or refused without a policy."""
    root = corpora()
    if root is None:
        sys.exit(ABSENT)
    found, wrong = {}, []
    for corpus in CORPORA:
        cases = found[corpus.name] = list(corpus.read(root))
        if len(cases) != corpus.count:
            wrong.append(f"{corpus.name}: {len(cases)} cases, not {corpus.count}")
        for case in cases:
            if case.wrongly_accepted:
                wrong.append(f"{corpus.name}: {case.id} is wrongly accepted")
            if case.wrongly_rejected and not policy(case):
                wrong.append(f"{corpus.name}: {case.id} is rejected by no policy: {case.refusal}")
    FILE.write_text(render(found, root), encoding="utf-8")
    total = sum(map(len, found.values()))
    print(f"{total} vectors of {len(CORPORA)} corpora: {len(wrong)} wrong; see {FILE.name}")
    for sentence in wrong:
        print(f"  {sentence}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
