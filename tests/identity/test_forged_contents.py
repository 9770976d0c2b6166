"""Forged contents: headers that change the reading, payloads and claims of other shapes.

The ideas are those of the field's advisories and test suites; every token is made here.
"""

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from agent.errors import Denial, Reason
from agent.identity.principal import Verified
from vectors.ring import Ring

ISS = "https://op.example"
NOW = 1_800_000_000.0
CLAIMS: dict[str, Any] = {
    "iss": ISS,
    "aud": "orders",
    "sub": "alice",
    "iat": NOW - 10,
    "exp": NOW + 300,
}
ALL = ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"]
MALFORMED, INVALID, UNKNOWN = Reason.MALFORMED_TOKEN, Reason.INVALID_TOKEN, Reason.UNKNOWN_KEY


@pytest.fixture
def world(build: Any, web: Any, ring: Any) -> Any:
    keys = ring.jwks(ring.jwk("rsa", alg="RS256"), "ec256", "ec384", "ec521", "ed")
    web.publish(ISS, ISS, keys)
    op = {"issuer": ISS, "audiences": ["orders"], "algorithms": ALL}
    return build(web, {"name": "op", "oidc": op})


def reason(found: Any) -> Reason | None:
    return found.reason if isinstance(found, Denial) else None


HEADERS: dict[str, Any] = {
    "crit of a known member": {"crit": ["exp"], "exp": 1},
    "crit of alg": {"crit": ["alg"]},
    "empty crit": {"crit": []},
    "crit that is a string": {"crit": "exp"},
    "crit of b64": {"crit": ["b64"], "b64": True},
    "b64 without crit": {"b64": True},
    "b64 false": {"b64": False},
    "compressed": {"zip": "DEF"},
    "compressed by nothing": {"zip": ""},
    "of a JWE": {"enc": "A128GCM"},
    "PBES2 with a count that takes hours": {"enc": "A128GCM", "p2c": 2**31, "p2s": "AAAA"},
}


@pytest.mark.must(4)
@pytest.mark.parametrize("members", HEADERS.values(), ids=HEADERS)
def test_a_header_that_changes_how_the_token_is_read_is_refused(
    world: Any, ring: Ring, members: dict[str, Any]
) -> None:
    assert isinstance(world.verify(ring.mint("ed", CLAIMS)), Verified)
    assert reason(world.verify(ring.mint("ed", CLAIMS, **members))) is MALFORMED


@pytest.mark.parametrize(
    "members",
    [
        {"Alg": "none"},
        {"ALG": "HS256"},
        {"\u0430lg": "none"},
        {"alg ": "none"},
        {"": "none"},
        {"KID": "ec256"},
        {"Crit": ["x"]},
        {"iss": "https://evil.example"},
        {"x" * 99: "none"},
    ],
    ids=ascii,
)
def test_a_member_that_looks_like_another_is_another(
    world: Any, ring: Ring, members: dict[str, Any]
) -> None:
    assert isinstance(world.verify(ring.mint("ed", CLAIMS, **members)), Verified)
    raw = json.dumps(members | {"kid": "ed"}).encode()  # and it does not stand for alg
    assert reason(world.verify(ring.seal("ed", "EdDSA", raw, b"{}"))) is MALFORMED


PAYLOADS: dict[str, Callable[[bytes, str], bytes]] = {
    "nothing": lambda _claims, _token: b"",
    "a nested token": lambda _claims, token: token.encode(),
    "a nested token in quotes": lambda _claims, token: json.dumps(token).encode(),
    "compressed": lambda claims, _token: zlib.compress(claims),
    "compressed, raw": lambda claims, _token: zlib.compress(claims)[2:-4],
    "base64 once more": lambda claims, _token: base64.b64encode(claims),
    "a list": lambda claims, _token: b"[" + claims + b"]",
    "two objects": lambda claims, _token: claims + claims,
    "trailing text": lambda claims, _token: claims + b"x",
    "trailing NUL": lambda claims, _token: claims + b"\0",
    "a comment": lambda claims, _token: b"/**/" + claims,
    "UTF-16": lambda claims, _token: claims.decode().encode("utf-16"),
    "a byte order mark": lambda claims, _token: b"\xef\xbb\xbf" + claims,
    "latin-1": lambda claims, _token: claims[:-1] + b',"name":"\xe9"}',
    "a second sub": lambda claims, _token: claims[:-1] + b',"sub":"admin"}',
    "a second sub, escaped": lambda claims, _token: claims[:-1] + b',"\\u0073ub":"admin"}',
    "17 levels": lambda claims, _token: claims[:-1] + b',"a":' + b"[" * 16 + b"]" * 16 + b"}",
    "10,000 levels": lambda claims, _token: claims[:-1] + b',"a":' + b"[" * 10_000,
    "NaN": lambda claims, _token: claims[:-1] + b',"a":NaN}',
    "a lone surrogate": lambda claims, _token: claims[:-1] + b',"a":"\\ud800"}',
}


@pytest.mark.must(6)
@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
@pytest.mark.parametrize("cty", [None, "JWT"])
def test_a_payload_that_is_no_plain_object_is_refused(
    world: Any, ring: Ring, payload: Callable[[bytes, str], bytes], cty: str | None
) -> None:
    claims = json.dumps(CLAIMS).encode()
    header = {"alg": "EdDSA", "kid": "ed"} | ({"cty": cty} if cty else {})
    raw = payload(claims, ring.mint("ed", CLAIMS))
    token = ring.seal("ed", "EdDSA", json.dumps(header).encode(), raw)
    assert reason(world.verify(token)) is MALFORMED


def with_claim(ring: Ring, name: str, raw: str) -> str:
    """A genuine token in which one claim is written exactly so."""
    others = {claim: value for claim, value in CLAIMS.items() if claim != name}
    text = f'{json.dumps(others)[:-1]}, "{name}": {raw}}}'
    return ring.seal("ed", "EdDSA", b'{"alg":"EdDSA","kid":"ed"}', text.encode())


TIMES = {
    f"{int(NOW) + 300}": None,
    f"{NOW + 300}": None,
    "1.8000003e9": None,
    "18000003E2": None,
    "253402300799": None,
    "253402300800": INVALID,
    "1e30": INVALID,
    "1" + "0" * 400: INVALID,
    "1e400": MALFORMED,
    "-1": INVALID,
    "-1e-300": INVALID,
    "0": Reason.EXPIRED_TOKEN,
    "-0": Reason.EXPIRED_TOKEN,
    "-0.0": Reason.EXPIRED_TOKEN,
    "1e3": Reason.EXPIRED_TOKEN,
    "1e-400": Reason.EXPIRED_TOKEN,
    "NaN": MALFORMED,
    "Infinity": MALFORMED,
    "-Infinity": MALFORMED,
    '"1800000300"': INVALID,
    '"never"': INVALID,
    '""': INVALID,
    '"2099-01-01T00:00:00Z"': INVALID,
    "true": INVALID,
    "false": INVALID,
    "null": INVALID,
    "[]": INVALID,
    "[1800000300]": INVALID,
    "{}": INVALID,
    '{"$gt": 0}': INVALID,
    "01800000300": MALFORMED,
    "+1800000300": MALFORMED,
    "0x6b49d200": MALFORMED,
    "1_800_000_300": MALFORMED,
    "1800000300.": MALFORMED,
    f"{int(NOW * 1000) + 300_000}": INVALID,  # milliseconds
}


@pytest.mark.must(7)
@pytest.mark.parametrize(("raw", "expected"), TIMES.items(), ids=lambda value: str(value)[:24])
def test_an_expiry_is_a_plain_number_of_seconds(
    world: Any, ring: Ring, raw: str, expected: Reason | None
) -> None:
    assert reason(world.verify(with_claim(ring, "exp", raw))) is expected


@pytest.mark.must(7)
@pytest.mark.parametrize("name", ["nbf", "iat"])
@pytest.mark.parametrize(
    ("raw", "expected"),
    [(f"{int(NOW)}", None), (f"{int(NOW) + 60}", None), ("0", None), ("-0", None)]
    + [(f"{int(NOW) + 61}", INVALID), (f"{int(NOW)}e3", INVALID), ("1e400", MALFORMED)]
    + [(raw, INVALID) for raw in ("-1", '"0"', "null", "true", "[]", "{}", "9e99")],
)
def test_a_beginning_is_a_plain_number_of_seconds(
    world: Any, ring: Ring, name: str, raw: str, expected: Reason | None
) -> None:
    assert reason(world.verify(with_claim(ring, name, raw))) is expected


WRONG = Reason.WRONG_AUDIENCE
AUDIENCES: dict[str, Reason | None] = {
    '"orders"': None,
    '["orders"]': None,
    '["x", "orders"]': None,
    '["orders", "orders"]': None,
    '"Orders"': WRONG,
    '"orders "': WRONG,
    '"orders/"': WRONG,
    '"order"': WRONG,
    '"xorders"': WRONG,
    '"orders,x"': WRONG,
    '"x orders"': WRONG,
    '"*"': WRONG,
    '".*"': WRONG,
    '"\\u006frders"': None,  # the same string, escaped
    '"\\uff4frders"': WRONG,
    '"orders\\u0000"': WRONG,
    '""': WRONG,
    '"[\\"orders\\"]"': WRONG,
    "[]": INVALID,
    "null": INVALID,
    "1": INVALID,
    "true": INVALID,
    "{}": INVALID,
    '{"orders": true}': INVALID,
    '{"0": "orders"}': INVALID,
    '[["orders"]]': INVALID,
    '["orders", null]': INVALID,
    '["orders", 1]': INVALID,
    '["orders", ["x"]]': INVALID,
    '[{"a": "orders"}]': INVALID,
}


@pytest.mark.must(8, 16)
@pytest.mark.parametrize(("raw", "expected"), AUDIENCES.items(), ids=str)
def test_an_audience_is_a_string_or_a_list_of_strings(
    world: Any, ring: Ring, raw: str, expected: Reason | None
) -> None:
    assert reason(world.verify(with_claim(ring, "aud", raw))) is expected


STRANGER = Reason.UNTRUSTED_ISSUER
ISSUERS: dict[str, Reason] = {
    f'"{ISS}/"': STRANGER,
    f'"{ISS} "': STRANGER,
    f'" {ISS}"': STRANGER,
    f'"{ISS.upper()}"': STRANGER,
    f'"{ISS}?"': STRANGER,
    f'"{ISS}#"': STRANGER,
    f'"{ISS}.evil.example"': STRANGER,
    f'"{ISS}@evil.example"': STRANGER,
    f'"{ISS}:443"': STRANGER,
    f'"{ISS}\\u0000"': STRANGER,
    '"http://op.example"': STRANGER,
    '"op.example"': STRANGER,
    '"https://\\uff4fp.example"': STRANGER,
    '"https://%6fp.example"': STRANGER,
    '""': STRANGER,
    '"*"': STRANGER,
    "null": MALFORMED,
    "1": MALFORMED,
    "true": MALFORMED,
    "{}": MALFORMED,
    f'["{ISS}"]': MALFORMED,
    f'["{ISS}", "https://evil.example"]': MALFORMED,
    f'{{"iss": "{ISS}"}}': MALFORMED,
}


@pytest.mark.must(8, 10)
@pytest.mark.parametrize(("raw", "expected"), ISSUERS.items(), ids=str)
def test_an_issuer_is_one_string_to_the_letter(
    world: Any, ring: Ring, raw: str, expected: Reason
) -> None:
    """CVE-2024-53861 and CVE-2025-59420 among others: lists and parts of issuers taken for it."""
    assert reason(world.verify(with_claim(ring, "iss", raw))) is expected


@pytest.mark.must(11)
@pytest.mark.parametrize(
    ("typ", "good"),
    [(typ, True) for typ in ("JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", None)]
    + [(typ, False) for typ in ("JOSE", "JOSE+JSON", "JWE", "logout+jwt", "dpop+jwt", "kb+jwt")]
    + [(typ, False) for typ in ("secevent+jwt", "oauth-authz-req+jwt", "token-introspection+jwt")]
    + [(typ, False) for typ in ("client-authentication+jwt", "JWT ", "at+jwt;a=b", "jwt\0", "id")],
)
def test_a_token_of_another_type_is_no_access_token(
    world: Any, ring: Ring, typ: str | None, good: bool
) -> None:
    """RFC 8725 §3.11."""
    assert isinstance(world.verify(ring.mint("ed", CLAIMS, typ=typ)), Verified) is good
