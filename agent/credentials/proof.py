"""How do we prove who we are at an authorization server? The proof is read from its file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from agent.config.identities import EntraIdentity

_MAX_FILE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Proof:
    """What a client proves itself with; `credential` is in msal's form. `id` tells two apart."""

    id: bytes
    credential: str | dict[str, Any] = field(repr=False)
    word: str = "secret"


@dataclass(frozen=True, slots=True)
class Unproven:
    """Why there is no proof: a sentence that names the file and the remedy."""

    sentence: str


def prove(identity: EntraIdentity) -> Proof | Unproven:
    """Read the proof of *identity* anew.

    Only misses come here, so no watch is needed: a changed file takes effect with the next request.
    """
    if identity.secret_file:
        return secret(identity.secret_file)
    if identity.federated_token_file:
        return federated(identity.federated_token_file)
    if identity.certificate_file:
        return certificate(identity.certificate_file)
    return Unproven("no secret, certificate or federated token is configured; name its file.")


def secret(path: Path) -> Proof | Unproven:
    """A client secret: the file's text without the white space around it."""
    text = text_of(path)
    return text if isinstance(text, Unproven) else Proof(_id(text.encode()), text)


def federated(path: Path) -> Proof | Unproven:
    """An assertion of workload identity; msal asks the callable for each request."""
    text = text_of(path)
    if isinstance(text, Unproven):
        return text
    return Proof(_id(text.encode()), {"client_assertion": lambda: text}, "federated token")


def certificate(path: Path) -> Proof | Unproven:
    """A private key with its certificate: PEM, or PFX without a password."""
    content = content_of(path)
    if isinstance(content, Unproven):
        return content
    try:
        if b"-----BEGIN" in content:
            key: Any = load_pem_private_key(content, None)
            leaf: Any = x509.load_pem_x509_certificate(content)
        else:
            key, leaf, _ = pkcs12.load_key_and_certificates(content, None)
    except (ValueError, TypeError):
        key = leaf = None
    if not isinstance(key, rsa.RSAPrivateKey) or leaf is None:
        return Unproven(
            f"the certificate file {path} holds no RSA key with its certificate in PEM, nor a PFX "
            "without password. Write both into it; it is reread within 5 s."
        )
    if leaf.public_key() != key.public_key():
        return Unproven(
            f"the first certificate in {path} does not belong to the key in it. Put the client's "
            "own certificate first; the file is reread within 5 s."
        )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    shown = leaf.public_bytes(Encoding.PEM).decode()
    return Proof(_id(content), {"private_key": pem, "public_certificate": shown}, "certificate")


def text_of(path: Path, word: str = "secret") -> str | Unproven:
    """The one line of text in a file, without the white space around it; *word*: what it is."""
    content = content_of(path)
    if isinstance(content, Unproven):
        return content
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or not text.isprintable():
        return Unproven(
            f"the file {path} is empty or not one line of text. Write the {word} into it; it is "
            "reread within 5 s."
        )
    return text


def content_of(path: Path) -> bytes | Unproven:
    """The bytes of a proof's file, at most 64 KiB."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE + 1)
    except OSError as error:
        return Unproven(
            f"the file {path} cannot be read ({error.strerror}). Mount it readable for this "
            "process; it is reread within 5 s."
        )
    if len(content) > _MAX_FILE:
        return Unproven(f"the file {path} is larger than 64 KiB. Name the right file.")
    return content


def _id(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
