"""What does the provider say about itself? Discovery and keys documents, v1 and v2."""

from collections.abc import Mapping
from typing import Any

from demo.idp.directory import Directory, Tenant
from demo.idp.keys import KeyRing
from demo.idp.settings import MSA_TENANT, Names

Document = dict[str, Any]

ALIASES = ("common", "organizations", "consumers")
TEMPLATE = "{tenantid}"

_SHARED: Mapping[str, Any] = {
    "response_modes_supported": ["query"],
    "subject_types_supported": ["pairwise"],
    "id_token_signing_alg_values_supported": ["RS256"],
    "response_types_supported": ["code"],
    "token_endpoint_auth_methods_supported": [
        "client_secret_post",
        "private_key_jwt",
        "client_secret_basic",
    ],
    "scopes_supported": ["openid", "profile", "email", "offline_access"],
    "code_challenge_methods_supported": ["S256"],
    "tenant_region_scope": None,
}


def authority(directory: Directory, segment: str) -> tuple[str, str] | None:
    """Return (path segment, issuer's tenant) that a URL's first segment stands for.

    A domain name becomes the tenant's GUID; the aliases keep their name and have a
    template for an issuer, except that "consumers" is one concrete tenant.
    """
    name = segment.lower()
    if name == "consumers":
        return name, MSA_TENANT
    if name in ALIASES:
        return name, TEMPLATE
    tenant = directory.tenant(name)
    return (tenant.id, tenant.id) if tenant else None


def discovery(names: Names, segment: str, issuer_tenant: str, version: int) -> Document:
    """Return the discovery document of one authority."""
    base, settings = names.base_url, names.settings
    if version == 1:
        issuer, oauth, keys = names.v1_issuer(issuer_tenant), "oauth2", "discovery/keys"
    else:
        issuer, oauth, keys = names.v2_issuer(issuer_tenant), "oauth2/v2.0", "discovery/v2.0/keys"
    return {
        **_SHARED,
        "issuer": issuer,
        "authorization_endpoint": f"{base}/{segment}/{oauth}/authorize",
        "token_endpoint": f"{base}/{segment}/{oauth}/token",
        "end_session_endpoint": f"{base}/{segment}/{oauth}/logout",
        "jwks_uri": f"{base}/{segment}/{keys}",
        "cloud_instance_name": settings.cloud_instance_name,
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": "graph.microsoft.com",
    }


def keys(names: Names, ring: KeyRing, version: int) -> Document:
    """Return the keys document; in v2 each key says whose tokens it may sign."""
    documents = []
    for key in ring.published():
        jwk = key.jwk()
        if version == 2:
            jwk["cloud_instance_name"] = names.settings.cloud_instance_name
            jwk["issuer"] = names.v2_issuer(key.scope or TEMPLATE)
        documents.append(jwk)
    return {"keys": documents}


def flow_discovery(names: Names, tenant: Tenant, policy: str, *, tfp: bool) -> Document:
    """Return the discovery document of a B2C user flow.

    B2C knows two issuers: one for all flows of a tenant, whose own document does not exist,
    and with *tfp* one for each flow.
    """
    base = names.base_url
    path = f"{base}/tfp/{tenant.id}/{policy}" if tfp else f"{base}/{tenant.id}/{policy}"
    return {
        **_SHARED,
        "issuer": flow_issuer(names, tenant, policy, tfp=tfp),
        "authorization_endpoint": f"{path}/oauth2/v2.0/authorize",
        "token_endpoint": f"{path}/oauth2/v2.0/token",
        "jwks_uri": f"{path}/discovery/v2.0/keys",
    }


def flow_issuer(names: Names, tenant: Tenant, policy: str, *, tfp: bool) -> str:
    """Return the `iss` of a user flow's tokens; B2C's end in a slash."""
    if tfp:
        return f"{names.base_url}/tfp/{tenant.id}/{policy.lower()}/v2.0/"
    return f"{names.base_url}/{tenant.id}/v2.0/"


def flow_keys(ring: KeyRing, tenant: Tenant, policy: str) -> Document:
    """Return a user flow's keys document. B2C publishes neither certificates nor issuers."""
    shown = ("kty", "use", "kid", "n", "e")
    published = (key.jwk() for key in ring.published(flow_scope(tenant, policy)))
    return {"keys": [{name: jwk[name] for name in shown} for jwk in published]}


def flow_scope(tenant: Tenant, policy: str) -> str:
    """Return what a user flow's keys are bound to in the key ring."""
    return f"{tenant.id}/{policy.lower()}"
