"""Which names and lifetimes does this provider use?"""

from dataclasses import dataclass

MSA_TENANT = "9188040d-6c67-4c5b-b112-36a304b66dad"


@dataclass(frozen=True, slots=True)
class Settings:
    """What one provider holds for all its tenants. Lifetimes are seconds.

    `v1_issuer` keeps Entra's shape: v1 tokens are issued in the name of another host than
    the one that serves them. `refresh_reuse` says what a refresh token presented twice does:
    Entra lets it pass ("allowed"); RFC 9700 §4.14.2 revokes its whole family ("revokes").
    `refresh_in` is what Entra says of long-lived tokens: when to renew them, ahead of their end.
    """

    v1_issuer: str = "https://sts.windows.net/{tenantid}/"
    cloud_instance_name: str = "microsoftonline.com"
    access_token_lifetime: int = 3600
    managed_identity_lifetime: int = 86400
    refresh_token_lifetime: int = 90 * 86400
    code_lifetime: int = 600
    clock_skew: int = 300
    refresh_reuse: str = "allowed"
    refresh_in: int | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """The URLs and issuer names that follow from where the provider listens."""

    base_url: str
    settings: Settings

    def v1_issuer(self, tenant: str) -> str:
        """Return the `iss` of v1 tokens; "{tenantid}" yields the template."""
        return self.settings.v1_issuer.replace("{tenantid}", tenant)

    def v2_issuer(self, tenant: str) -> str:
        """Return the `iss` of v2 tokens; "{tenantid}" yields the template."""
        return f"{self.base_url}/{tenant}/v2.0"

    def token_urls(self, *tenants: str) -> frozenset[str]:
        """Return every URL under which the token endpoint of a tenant is known."""
        return frozenset(
            f"{self.base_url}/{tenant}/oauth2/{version}token"
            for tenant in tenants
            for version in ("", "v2.0/")
        )
