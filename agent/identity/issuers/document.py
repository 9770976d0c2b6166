"""Where do an issuer's keys come from, and is what stands there really about that issuer?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agent.config.fields import Url
from agent.identity.keys import KeySet
from agent.identity.strict_json import NotStrict, strict_object
from agent.identity.unusable import Unusable

TEMPLATE = "{tenantid}"  # what stands for the tenant in metadata of several tenants

_URL: TypeAdapter[str] = TypeAdapter(Url)


@dataclass(frozen=True, slots=True)
class Document:
    """One document about an issuer, by everything that decides what its keys are trusted for.

    Two equal ones are interchangeable: that is how keys survive a reload. Keys come from `file`,
    from `keys` (a URL), or by way of the first of the `discovery` URLs that answers. The issuer
    that discovery names must be `issuer`, or contain one of `names` as a path segment, where
    these are set. `group`: what is ready as soon as one document of the same group is loaded.
    """

    group: str
    algorithms: tuple[str, ...]
    discovery: tuple[str, ...] = ()
    keys: str = ""
    file: Path | None = None
    ca_file: Path | None = None
    issuer: str = ""
    names: tuple[str, ...] = ()
    tenant: str = ""
    version: str = ""
    policy: str = ""

    @property
    def source(self) -> str:
        """Where it is, for people."""
        return str(self.file or self.keys or self.discovery[0])


@dataclass(frozen=True, slots=True)
class Metadata:
    """What discovery says that matters here (OpenID Connect Discovery 1.0 §3)."""

    issuer: str
    jwks_uri: str
    cloud_instance_name: str = ""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What one document is good for: the issuer (or its template), and its keys."""

    issuer: str
    keys: KeySet
    cloud_instance_name: str = ""


def read_metadata(document: Document, raw: bytes) -> Metadata | Unusable:
    """Return what the discovery document *raw* says, if it is about the issuer of *document*."""
    try:
        members = strict_object(raw)
    except NotStrict as why:
        return Unusable(f"the discovery document is refused: {why}")
    issuer, jwks_uri = members.get("issuer"), members.get("jwks_uri")
    if not isinstance(issuer, str) or not issuer:
        return Unusable("the discovery document names no issuer")
    if problem := _other_issuer(document, issuer):
        return problem
    if not isinstance(jwks_uri, str):
        return Unusable("the discovery document has no jwks_uri")
    if jwks_uri.startswith("http:") and document.source.startswith("https:"):
        return Unusable("the discovery document leads from https to plain http")
    if why_not := insecure(jwks_uri):
        return Unusable(f"the discovery document's jwks_uri is refused: {why_not}")
    cloud: Any = members.get("cloud_instance_name", "")
    return Metadata(issuer, jwks_uri, cloud if isinstance(cloud, str) else "")


def _other_issuer(document: Document, issuer: str) -> Unusable | None:
    """OpenID Connect Discovery §4.3: what it is about is exactly what was asked for."""
    if document.issuer and issuer != document.issuer:
        return Unusable(f"discovery names the issuer {issuer[:200]!r}, not {document.issuer!r}")
    if document.names and not any(f"/{name}/" in issuer + "/" for name in document.names):
        return Unusable(f"discovery names the issuer {issuer[:200]!r} of another tenant")
    return None


def insecure(url: str) -> str:
    """Why *url* must not be fetched (SECURITY.md 32), or an empty text if it may."""
    try:
        _URL.validate_python(url)
    except ValidationError as why:
        return str(why.errors()[0]["msg"]).removeprefix("Value error, ")
    except ValueError:
        return "it is not a URL"
    return ""
