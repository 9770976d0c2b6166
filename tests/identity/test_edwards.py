"""Which bytes can be a key on an Edwards curve (RFC 8032 §5.1.3, §5.2.3)?"""

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519

from agent.identity.edwards import ED448, ED25519, Curve, sound

TOP = {ED25519: 255, ED448: 455}  # the bit that is the sign of x

# The y of the eight points of small order: 0 twice, 1, -1, and the one of order eight and its
# negative twice each.
EIGHTH = int.from_bytes(
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"
)
SMALL = [
    *((ED25519, y) for y in (0, 1, ED25519.p - 1, EIGHTH, ED25519.p - EIGHTH)),
    *((ED448, y) for y in (0, 1, ED448.p - 1)),
]


def test_the_eight_points_are_on_the_curve() -> None:
    """Else they would be refused for that."""
    for curve, y in SMALL:
        x_squared = (1 - y * y) * pow(curve.a - curve.d * y * y, -1, curve.p) % curve.p
        assert pow(x_squared, (curve.p - 1) // 2, curve.p) in (0, 1)


def encoded(curve: Curve, y: int, sign: int) -> bytes:
    return (y | sign << TOP[curve]).to_bytes(curve.size, "little")


def test_real_keys_are_sound() -> None:
    for _ in range(50):
        key = ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()
        assert sound(key, ED25519)
        assert not sound(key, ED448)
        key = ed448.Ed448PrivateKey.generate().public_key().public_bytes_raw()
        assert sound(key, ED448)
        assert not sound(key, ED25519)


@pytest.mark.must(2, 12)
@pytest.mark.parametrize(("curve", "y"), SMALL, ids=range(len(SMALL)))
@pytest.mark.parametrize("sign", [0, 1])
def test_a_point_of_small_order_is_no_key(curve: Curve, y: int, sign: int) -> None:
    assert not sound(encoded(curve, y, sign), curve)


@pytest.mark.must(2)
def test_the_library_lets_one_signature_hold_for_all_messages_under_the_identity() -> None:
    """Why this module is here; where this fails, the library has learnt it."""
    identity = encoded(ED25519, 1, 0)
    key = ed25519.Ed25519PublicKey.from_public_bytes(identity)
    try:
        for message in (b"", b"anything", b"header.payload"):
            key.verify(identity + bytes(32), message)
    except InvalidSignature:
        pytest.fail("the library refuses it now: say so in agent/identity/edwards.py")


@pytest.mark.parametrize("curve", [ED25519, ED448], ids=["Ed25519", "Ed448"])
def test_a_number_has_one_encoding_and_a_point_is_on_the_curve(curve: Curve) -> None:
    assert not sound(encoded(curve, curve.p, 0), curve)
    assert not sound(encoded(curve, curve.p + 1, 0), curve)
    assert not sound(b"\xff" * curve.size, curve)
    found = [sound(encoded(curve, y, 0), curve) for y in range(2, 200)]
    assert 60 < sum(found) < 140  # about half of all y have an x
    for wrong in (b"", bytes(curve.size - 1), bytes(curve.size + 1)):
        assert not sound(wrong, curve)
