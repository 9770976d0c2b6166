"""Who is calling with an Entra ID token (ENTRA.md §1)?"""

from __future__ import annotations

import re

from agent.config.issuers import Entra
from agent.errors import Denial, Reason
from agent.identity.alike import alike
from agent.identity.claims import TEXT, TEXTS, Claims, misshapen, text, words
from agent.identity.issuers.document import TEMPLATE, Document
from agent.identity.issuers.entry import (
    Issuers,
    Signed,
    invalid,
    not_an_access_token,
    unavailable,
)
from agent.identity.principal import IssuerKind, Kind, Principal

# SECURITY.md 9: Entra writes tenant ids in lower case; a variant is somebody's trick.
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_VERSIONS = {"1.0": "", "2.0": "/v2.0"}  # what a metadata path has before /.well-known
_ANY = ("organizations", "common")
_SHAPE = {
    "tid": TEXT,
    "oid": TEXT,
    "sub": TEXT,
    "azp": TEXT,
    "appid": TEXT,
    "ver": TEXT,
    "idtyp": TEXT,
    "scp": TEXT,
    "roles": TEXTS,
    "acrs": TEXTS,
}


class EntraIssuer:
    """Listed tenants, each by its own v1 and v2 document; or any tenant, by template."""

    kind = IssuerKind.ENTRA
    stand_ins = ()

    def __init__(self, name: str, config: Entra) -> None:
        self.name = name
        self.audiences = frozenset(config.audiences)
        self._tenants = frozenset(config.tenants)
        self._any = config.allow_any_tenant
        base = config.authority.rstrip("/")
        self.documents = tuple(
            Document(
                group=f"tenant {tenant}" if tenant else "any tenant",
                algorithms=config.algorithms,
                discovery=tuple(
                    f"{base}/{segment}{path}/.well-known/openid-configuration"
                    for segment in ((tenant,) if tenant else _ANY)
                ),
                ca_file=config.ca_file,
                names=(tenant, TEMPLATE) if tenant else (TEMPLATE,),
                tenant=tenant,
                version=version,
            )
            for tenant in config.tenants or ("",)
            for version, path in _VERSIONS.items()
        )

    def locate(self, iss: str, claims: Claims, issuers: Issuers) -> Document | Denial | None:
        """Ours if a document's issuer is `iss`, once the tenant stands for the template."""
        tid = text(claims, "tid")
        if not _GUID.fullmatch(tid):
            tid = ""
        version, mine = claims.get("ver"), None
        for document in self.documents:
            tenant = document.tenant or tid
            issuer = issuers(document)
            if tenant and issuer and issuer.replace(TEMPLATE, tenant) == iss:
                # Two documents of one issuer differ in their keys: the token's version chooses.
                if document.version == version:
                    return document
                mine = mine or document
        if mine:
            return mine
        return self._not_located(iss, tid, issuers) if tid else None

    def _not_located(self, iss: str, tid: str, issuers: Issuers) -> Denial | None:
        listed = self._any or tid in self._tenants
        known = {document.group for document in self.documents if issuers(document)}
        for document in self.documents:
            issuer = issuers(document)
            if not issuer:
                mine = document.tenant in ("", tid)
                # External ID has no v1: where the other version is there, "no" is an answer.
                never = issuer == "" and document.group in known
                if listed and mine and not never and f"/{tid}/" in iss + "/":
                    return unavailable()  # may well be ours; nobody can tell yet
            elif not listed:
                template = issuer.replace(document.tenant, TEMPLATE) if document.tenant else issuer
                if template.replace(TEMPLATE, tid) == iss:
                    return Denial(
                        Reason.TENANT_NOT_ALLOWED, "The token's tenant is not allowed here."
                    )
        return None

    def elsewhere(self, signed: Signed) -> Denial | None:
        """The tenant, the version and the key are those of the document that it was found by."""
        return (
            _other_tenant(signed)
            or _other_version(signed)
            or _key_of_another_issuer(signed)
            or _key_of_another_cloud(signed)
        )

    def principal(self, signed: Signed) -> Principal | Denial:
        """Make the caller of an access token, by the stable key `(tid, oid)`."""
        claims = signed.claims
        denial = (
            not_an_access_token(signed.header, claims)
            or misshapen(claims, _SHAPE)
            or self.elsewhere(signed)
        )
        if denial:
            return denial
        claims = alike(claims)
        oid = text(claims, "oid")
        if not oid:
            return invalid("The token has no object id.")
        kind = caller_kind(claims, oid)
        if kind is None:
            return invalid("The token has neither scopes nor an application as its subject.")
        return Principal(
            kind=kind,
            subject=oid,
            tenant=text(claims, "tid"),
            issuer=signed.issuer,
            issuer_name=self.name,
            issuer_kind=self.kind,
            client=text(claims, "azp", "appid"),
            scopes=words(claims, "scp"),
            roles=words(claims, "roles"),
            expires_at=signed.window.expires_at,
            claims=claims,
            auth_contexts=words(claims, "acrs"),
        )


def caller_kind(claims: Claims, *application_subjects: str) -> Kind | None:
    """User or app by ENTRA.md §1; None for what is no access token, an ID token for example.

    *application_subjects*: values of `sub` that say "an application acts as itself".
    """
    idtyp, scopes = text(claims, "idtyp"), words(claims, "scp")
    if idtyp not in ("", "app", "user"):
        return None
    if idtyp == "app":
        return None if scopes else Kind.APP  # an app has no delegated scopes: contradiction
    if scopes:
        return Kind.USER
    subject = text(claims, "sub")
    return Kind.APP if not idtyp and subject and subject in application_subjects else None


def _other_tenant(signed: Signed) -> Denial | None:
    """The token's `tid` is the tenant in whose name its `iss` was matched."""
    tid, known = text(signed.claims, "tid"), signed.document.tenant
    # A configured tenant is in lower case; of any other, the form must be asked.
    if tid != known if known else not _GUID.fullmatch(tid):
        return invalid("The token's tenant is not that of its issuer.")
    return None


def _other_version(signed: Signed) -> Denial | None:
    if signed.claims.get("ver", signed.document.version) != signed.document.version:
        return invalid("The token's version is not that of its issuer.")
    return None


def _key_of_another_issuer(signed: Signed) -> Denial | None:
    """A key may be scoped to one issuer: personal accounts have theirs (ENTRA.md §1)."""
    scope = signed.key.issuer
    if scope and scope.replace(TEMPLATE, text(signed.claims, "tid")) != signed.issuer:
        return invalid("The token's key belongs to another issuer.")
    return None


def _key_of_another_cloud(signed: Signed) -> Denial | None:
    cloud = signed.key.cloud_instance_name
    if cloud and cloud != signed.loaded.cloud_instance_name:
        return invalid("The token's key belongs to another cloud.")
    return None
