"""The Big List of Naughty Strings, in every place of a request that a stranger writes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, unquote

from vectors.case import Case, Corpus, Origin, Said
from vectors.court import API, Court, Verdict, question

ORIGIN = Origin(
    "naughty-strings", "https://github.com/minimaxir/big-list-of-naughty-strings", "MIT"
)
_HEADER = re.compile(r"[\x20-\x7e]*")  # what may travel in a header of ours
_BROKEN = "internal_error"
_NAMES = (
    *("x-request-id", "traceparent", "tracestate", "baggage", "x-correlation-id"),
    *("origin", "x-auth-subject", "x-attache-context", "x-forwarded-for"),
)


def _strings(corpora: Path) -> list[str]:
    strings: list[str] = json.loads(
        (corpora / "naughty-strings" / "blns.json").read_text(encoding="utf-8")
    )
    return strings


def _claims(corpora: Path) -> Iterator[Case]:
    """Taken, and shown to the application as it was meant or not at all."""
    with Court() as court:
        for number, text in enumerate(_strings(corpora)):
            claims = court.claims(name=text, sub=f"alice {text}", nick=[text, text])
            verdict = court.ask(court.ring.mint("ed", claims))
            yield Case(str(number), Said.EITHER, _shown(verdict, text))


def _shown(verdict: Verdict, text: str) -> str:
    """Empty where what the application sees is right; and only that counts as accepted."""
    if not verdict.allowed:
        return verdict.reason
    shown = verdict.headers.get("x-auth-name")
    for name, value in verdict.headers.items():
        if not _HEADER.fullmatch(value):
            raise AssertionError(f"{name} would travel as {value!r}")
    if shown is not None and unquote(shown) != text:
        raise AssertionError(f"{text!r} was shown as {shown!r}")
    return ""


def _kids(corpora: Path) -> Iterator[Case]:
    """No key has such an id: refused, and never because something broke."""
    with Court() as court:
        claims = court.claims()
        for number, text in enumerate(_strings(corpora)):
            yield _denied(number, court.ask(court.ring.mint("ed", claims, kid=text)))


def _tokens(corpora: Path) -> Iterator[Case]:
    """As the Authorization header, bare and after `Bearer`, in Envoy's both spellings."""
    with Court() as court:
        for number, text in enumerate(_strings(corpora)):
            raw = text.encode()
            messages = [
                question({"authorization": text}),
                question({"authorization": f"Bearer {text}"}),
                question([("authorization", raw)]),
                question([("authorization", b"Bearer " + raw)]),
            ]
            verdicts = [court.decide(message) for message in messages]
            allowed = [each for each in verdicts if each.allowed or each.reason == _BROKEN]
            yield _denied(number, (allowed or verdicts)[0])


def _headers(corpora: Path) -> Iterator[Case]:
    """In every header that we read but one: a good token stays good, and nothing breaks."""
    with Court() as court:
        token = court.genuine()[1]
        for number, text in enumerate(_strings(corpora)):
            headers = dict.fromkeys(_NAMES, text) | {"authorization": f"Bearer {token}"}
            verdict = court.decide(question(headers))
            # baggage is the caller's own (W3C), and goes on as it came
            said = [value for name, value in verdict.headers.items() if name != "baggage"]
            sane = all(_HEADER.fullmatch(value) for value in said)
            ours = verdict.headers.get("x-auth-subject") == "alice"
            refusal = "" if verdict.allowed and sane and ours else verdict.reason or "not ours"
            yield Case(str(number), Said.VALID, refusal)


def _paths(corpora: Path) -> Iterator[Case]:
    """As a path, raw and escaped, with no credential: nothing of it is anonymous."""
    with Court() as court:
        for number, text in enumerate(_strings(corpora)):
            targets = [text, f"/{text}", API + text, "/" + quote(text, safe="")]
            targets += [f"/healthz/x{text}", f"/healthz/../{text}", f"//healthz;{text}"]
            verdicts = [court.decide(question((), target)) for target in targets]
            allowed = [each for each in verdicts if each.allowed or each.reason == _BROKEN]
            yield _denied(number, (allowed or verdicts)[0])


def _denied(number: int, verdict: Verdict) -> Case:
    refusal = "" if verdict.allowed or verdict.reason == _BROKEN else verdict.reason
    return Case(str(number), Said.INVALID, refusal)


def _corpus(name: str, how: str, read: Callable[[Path], Iterator[Case]]) -> Corpus:
    how += ", to a whole agent's decision"
    return Corpus(f"naughty-strings {name}", "naughty-strings", how, 515, read)


CORPORA = (
    _corpus("claims", "as name, sub and a list in a signed token", _claims),
    _corpus("kid", "as the key id of a signed token", _kids),
    _corpus("tokens", "as Authorization, as text and as raw bytes", _tokens),
    _corpus("headers", "in nine other headers beside a good token", _headers),
    _corpus("paths", "as a path in seven spellings, without a token", _paths),
)
