"""Do these bytes stand for a point of an Edwards curve that can be a key (RFC 8032 §5.1.3, §5.2.3)?

OpenSSL takes any 32 or 57 bytes for a key and finds out at the first signature, if at all: under a
key of small order one made-up signature holds for many messages, for the identity even for all.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Curve:
    """`a·x² + y² = 1 + d·x²·y²` over the integers modulo `p`, in so many bytes; a cofactor."""

    p: int
    a: int
    d: int
    size: int
    cofactor: int


_P25519 = 2**255 - 19
ED25519 = Curve(_P25519, -1, -121665 * pow(121666, -1, _P25519) % _P25519, 32, 8)
ED448 = Curve(2**448 - 2**224 - 1, 1, -39081, 57, 4)


def sound(encoded: bytes, curve: Curve) -> bool:
    """Whether *encoded* is the one encoding of a point on *curve* whose order is not small."""
    if len(encoded) != curve.size:
        return False
    value = int.from_bytes(encoded, "little")
    sign = value >> (curve.size * 8 - 1)
    y = value & ~(1 << (curve.size * 8 - 1))
    if y >= curve.p:  # a second encoding of another number
        return False
    x_squared = (1 - y * y) * pow(curve.a - curve.d * y * y, -1, curve.p) % curve.p
    if pow(x_squared, (curve.p - 1) // 2, curve.p) not in (0, 1):  # Euler: no square, no x
        return False
    if x_squared == 0 and sign:
        return False
    return not _small(y, x_squared, curve)


def _small(y: int, x_squared: int, curve: Curve) -> bool:
    """Whether the point times the cofactor is the identity; by `y` alone, doubling by doubling."""
    times = 1
    while times < curve.cofactor:
        product = curve.d * x_squared * y * y
        # the doubling's y: (y² - a·x²) / (1 - d·x²·y²); then x² by the curve's equation
        y = (y * y - curve.a * x_squared) * pow(1 - product, -1, curve.p) % curve.p
        x_squared = (1 - y * y) * pow(curve.a - curve.d * y * y, -1, curve.p) % curve.p
        times *= 2
    return y == 1 and x_squared == 0
