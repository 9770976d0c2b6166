"""Do these bytes hold what TLS needs: authorities to trust, a certificate and the key to it?"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def wrong_authorities(content: bytes) -> str:
    """Why *content* is no bundle of PEM certificates; empty if it is one."""
    try:
        x509.load_pem_x509_certificates(content)
    except (ValueError, TypeError):
        return "holds no PEM certificate"
    return ""


def wrong_pair(chain: bytes, key: bytes) -> str:
    """Why *chain* and *key* cannot be shown over TLS; empty if they can.

    The first certificate is ours (RFC 8446 §4.4.2). A file that is being written, and a pair of
    which one half is new, are wrong until the writing is over.
    """
    try:
        first = x509.load_pem_x509_certificates(chain)[0]
    except (ValueError, TypeError):
        return "the certificate's file holds no PEM certificate"
    try:
        private = load_pem_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "the key's file holds no PEM key without a password"
    if first.public_key() != private.public_key():
        return "the first certificate does not belong to the key"
    return ""
