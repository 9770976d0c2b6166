"""How can a request be wrong? Chance, at every level: bytes, parts, JSON members, types, headers.

All chance comes from the `Random` that is passed in: the same seed makes the same requests.
"""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from vectors.court import API, TENANT, question
from vectors.ring import Ring, b64

_UGLY: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, 10**400, 1.5, -0.0, 1e308, 1e-308),
    *("", " ", "\0", "\r\n", "a,b", "a b", "*", ".*", "../..", "%2e", "\u202e", "\U0001f600"),
    *("\ud800", "x" * 5000, "admin", "null", "[]", "{}", "0", "none", "HS256", "RS256", "ES256"),
    *([], {}, [[]], [None], ["a", "a"], {"": ""}, {"a": {"a": {"a": {}}}}, [1, "a", True]),
)
_MEMBERS = (
    *("alg", "kid", "typ", "cty", "crit", "b64", "zip", "enc", "jwk", "jku", "x5c", "x5u", "p2c"),
    *("iss", "aud", "sub", "exp", "nbf", "iat", "jti", "scope", "scp", "roles", "tid", "oid"),
    *("azp", "appid", "client_id", "act", "txn", "hops", "ver", "idtyp", "cnf", "acr", "acrs"),
    *("name", "email", "events", "at_hash", "realm_access", "gty", "nick", "groups", "", "\0"),
)
_HEADERS = (
    *("authorization", "baggage", "tracestate", "traceparent", "x-request-id", "origin"),
    *("x-correlation-id", "x-attache-context", "x-auth-subject", "x-auth-name", "x_auth_subject"),
    *("access-control-request-method", "content-type", "host", ":path", ":method", "cookie"),
    *("x-forwarded-for", "x-original-url", "x-http-method-override", "te", "upgrade", ""),
)
_PATHS = (
    *("", "/", "*", API, "/healthz", "/healthz/", "/healthz?x", "/api/1/x", "/api//tasks"),
    *("/api/../healthz", "/healthz/../api/tasks", "/api/%2e%2e/healthz", "/healthz%2f..%2fapi"),
    *(
        "/api/tasks;a=b",
        "//healthz",
        "/healthz%00",
        "/api\\tasks",
        "/%c0%ae",
        "/%252e",
        "/a" * 4000,
    ),
    *("http://evil.example/healthz", "/healthz#x", "/HEALTHZ", "/api/tasks\r\n", "/\u2025/healthz"),
)
_METHODS = ("GET", "POST", "OPTIONS", "CONNECT", "get", "", "GET ", "PRI", "X" * 300, "G\0T")
_ALPHABET = "ABCXYZabcxyz0189-_.=+/% \t\n\r\0,;:\"'{}[]\\~\u00e9\u2028\uff0e"

Mutation = Callable[[Random, str, Ring, Sequence[str]], str]


def mutated(random: Random, token: str, ring: Ring, others: Sequence[str]) -> str:
    """*token* after some mutations; *others* are tokens that parts may be taken from."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        token = random.choice(_MUTATIONS)(random, token, ring, others)
    return token


def message(random: Random, token: str, handles: Sequence[str] = ()) -> bytes:
    """A CheckRequest that carries *token* somehow; most look like Envoy's, some do not.

    *handles*: those that the agent gave to earlier requests.
    """
    headers = {"authorization": random.choice(("Bearer ", "bearer ", "", "Bearer\t")) + token}
    if random.random() < 0.8:
        headers["authorization"] = f"Bearer {token}"
    for _ in range(random.choice((0, 0, 1, 2, 6))):
        headers[random.choice(_HEADERS)] = _text(random)
    if handles and random.random() < 0.2:
        handle, junk = random.choice(handles), random.choice(("", "", ",a=b", ",\x01", ",a=\u00e9"))
        place = random.choice(("x-attache-context", "baggage", "tracestate", "baggage"))
        headers[place] = handle if place[0] == "x" else f"attache={handle}{junk}"
    path = random.choice(_PATHS) if random.random() < 0.3 else API
    method = random.choice(_METHODS) if random.random() < 0.1 else "GET"
    host = _text(random) if random.random() < 0.1 else "task-api.shop"
    context = {"direction": "inbound"}
    if random.random() < 0.15:
        context = {"direction": "outbound"}
        context["destination"] = random.choice(("notes", "open", "", "nowhere"))
    if random.random() < 0.05:
        context[random.choice(("direction", "unmatched", "underscores"))] = _text(random)
    clean = {name: _utf8(value) for name, value in headers.items()}
    sent: Mapping[str, str] | list[tuple[str, bytes]] = clean
    if random.random() < 0.3:  # as with encode_raw_headers, and some twice
        sent = [(name, value.encode()) for name, value in clean.items()]
        sent += random.choices(sent, k=random.choice((0, 0, 1, 3)))
        if random.random() < 0.3:
            sent = [(name, bitten(random, value)) for name, value in sent]
    extensions = {name: _utf8(value) for name, value in context.items()}
    encoded = question(sent, path, method, _utf8(host), **extensions)
    return bitten(random, encoded) if random.random() < 0.2 else encoded


def bitten(random: Random, raw: bytes) -> bytes:
    """*raw* with some bytes flipped, lost, doubled or made up."""
    found = bytearray(raw)
    for _ in range(random.choice((1, 1, 2, 8))):
        place = random.randrange(len(found) + 1)
        end = place + random.choice((0, 1, 1, 4, 64))
        piece = random.choice(
            (b"", random.randbytes(1), random.randbytes(8), bytes(found[place:end]))
        )
        found[place:end] = piece * random.choice((1, 1, 2))
    return bytes(found)


def _utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _text(random: Random) -> str:
    if random.random() < 0.5:
        return "".join(random.choices(_ALPHABET, k=random.choice((0, 1, 5, 40, 3000))))
    handle = "".join(random.choices("0123456789abcdef", k=32))
    value = random.choice(_UGLY)
    return random.choice((str(value), f"attache={handle}", handle, f"00-{handle}-{handle[:16]}-01"))


def _characters(random: Random, token: str, _ring: Ring, _others: Sequence[str]) -> str:
    place = random.randrange(len(token) + 1)
    piece = "".join(random.choices(_ALPHABET, k=random.choice((0, 1, 1, 3))))
    return token[:place] + piece + token[place + random.choice((0, 1, 1, 5)) :]


def _parts(random: Random, token: str, _ring: Ring, others: Sequence[str]) -> str:
    mine, theirs = token.split("."), random.choice(others).split(".")
    pool = [*mine, *theirs, "", "AAAA", "e30", b64(b'{"alg":"none"}')]
    mine[random.randrange(len(mine))] = random.choice(pool)
    if random.random() < 0.2:
        mine.append(random.choice(pool))
    return ".".join(mine)


def _spelled(random: Random, token: str, _ring: Ring, _others: Sequence[str]) -> str:
    ways: tuple[Callable[[str], str], ...] = (
        str.lower,
        str.upper,
        str.swapcase,
        lambda text: text + "=" * random.randrange(1, 4),
        lambda text: text.replace("-", "+").replace("_", "/"),
        lambda text: text + random.choice((" ", ",", "\t", ".", "~", "\n", "%00")),
        lambda text: f"{text},{text}",
        lambda text: text[: random.randrange(len(text) + 1)],
        lambda text: text[:-1] + random.choice("ABCDEFGHabcdefgh01234567-_"),
        lambda text: text.replace(".", "..", 1),
        lambda text: text * 2,
    )
    return random.choice(ways)(token)


def _members(random: Random, token: str, ring: Ring, _others: Sequence[str]) -> str:
    """Another header or other claims; signed as before, anew, by a stranger, or by a secret."""
    raw = [_bytes(part) for part in token.split(".")[:2]]
    if len(raw) < 2:
        return token
    place = random.randrange(2)
    raw[place] = _changed(random, raw[place])
    header = _object(raw[0])
    name = str(header.get("kid"))
    unsigned = f"{b64(raw[0])}.{b64(raw[1])}"
    kind = random.choice(("kept", "anew", "anew", "anew", "stranger", "secret"))
    if kind == "kept" or name not in ring.keys:
        return f"{unsigned}.{token.rpartition('.')[2]}"
    if kind == "secret":
        pem = (
            ring.keys[name]
            .public_key()
            .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )
        return f"{unsigned}.{b64(hmac.digest(pem, unsigned.encode(), 'sha256'))}"
    signer = random.choice(("rsa-small", "ec521", "ec384")) if kind == "stranger" else name
    usual = {"rsa": "RS256", "ec2": "ES256", "ec3": "ES384", "ec5": "ES512"}
    alg = usual.get(signer[:3], "EdDSA")
    if signer == "rsa" and header.get("alg") == "PS256":
        alg = "PS256"
    return ring.seal(signer, alg, raw[0], raw[1])


def _changed(random: Random, raw: bytes) -> bytes:
    members = _object(raw)
    for _ in range(random.choice((1, 1, 2, 4))):
        name = random.choice((*members, *_MEMBERS)) if members else random.choice(_MEMBERS)
        way = random.random()
        if way < 0.15:
            members.pop(name, None)
        elif way < 0.3 and members:
            members[name] = random.choice(list(members.values()))
        elif way < 0.4:
            members[name] = [members.get(name)]
        elif way < 0.5:
            members[name] = {"a": members.get(name)}
        elif way < 0.6:
            members[name] = random.choice((TENANT, TENANT.upper(), "alice", API))
        else:
            members[name] = random.choice(_UGLY)
    text = json.dumps(members, ensure_ascii=random.random() < 0.7).encode("utf-8", "surrogatepass")
    if random.random() < 0.15:  # a member twice
        name = random.choice((*members, "a"))
        text = text[:-1] + b"," + json.dumps({name: 1}).encode()[1:]
    return bitten(random, text) if random.random() < 0.15 else text


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _bytes(part: str) -> bytes:
    clean = "".join(each for each in part if each.isascii() and (each.isalnum() or each in "-_"))
    clean = clean[: len(clean) - (len(clean) % 4 == 1)]
    return base64.urlsafe_b64decode(clean + "=" * (-len(clean) % 4))


_MUTATIONS: tuple[Mutation, ...] = (_characters, _parts, _spelled, _members, _members, _members)
