"""How does Entra say no? The AADSTS codes and the exact body of an error."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

# code: (OAuth error, sentence). `{…}` is filled in by whoever finds the fault.
TABLE: Mapping[int, tuple[str, str]] = {
    28000: (
        "invalid_request",
        "Provided value for the input parameter scope is not valid because it contains more "
        "than one resource. Scope {scope} is not valid.",
    ),
    50011: (
        "invalid_request",
        "The redirect URI '{uri}' specified in the request does not match the redirect URIs "
        "configured for the application '{client}'.",
    ),
    50013: ("invalid_grant", "Assertion failed signature validation. [Reason - {reason}]"),
    50027: ("invalid_request", "JWT token is invalid or malformed."),
    50034: (
        "invalid_grant",
        "The user account {user} does not exist in the {tenant} directory. To sign into this "
        "application, the account must be added to the directory.",
    ),
    50057: ("invalid_grant", "The user account is disabled."),
    50058: (
        "login_required",
        "A silent sign-in request was sent but no user is signed in.",
    ),
    50059: (
        "invalid_request",
        "No tenant-identifying information found in either the request or implied by any "
        "provided credentials.",
    ),
    50076: (
        "invalid_grant",
        "Due to a configuration change made by your administrator, or because you moved to a "
        "new location, you must use multi-factor authentication to access '{resource}'.",
    ),
    50079: (
        "interaction_required",
        "Due to a configuration change made by your administrator, or because you moved to a "
        "new location, you must enroll in multi-factor authentication to access '{resource}'.",
    ),
    50105: (
        "invalid_grant",
        "Your administrator has configured the application '{name}' to block users unless they "
        "are specifically granted ('assigned') access to it.",
    ),
    50126: ("invalid_grant", "Error validating credentials due to invalid username or password."),
    50173: (
        "invalid_grant",
        "The provided grant has expired due to it being revoked, a fresh auth token is needed. "
        "The user might have changed or reset their password.",
    ),
    50196: (
        "invalid_request",
        "The server terminated an operation because it encountered a client request loop.",
    ),
    53003: (
        "invalid_grant",
        "Access has been blocked by Conditional Access policies. The access policy does not "
        "allow token issuance.",
    ),
    54005: (
        "invalid_grant",
        "OAuth2 Authorization code was already redeemed, please retry with a new valid code or "
        "use an existing refresh token.",
    ),
    65001: (
        "invalid_grant",
        "The user or administrator has not consented to use the application with ID '{client}' "
        "named '{name}'. Send an interactive authorization request for this user and resource.",
    ),
    70000: ("invalid_grant", "Provided grant is invalid or malformed."),
    70003: ("unsupported_grant_type", "The app requested an unsupported grant type '{grant}'."),
    70008: (
        "invalid_grant",
        "The provided authorization code or refresh token has expired due to inactivity. Send a "
        "new interactive authorization request for this user and resource.",
    ),
    70011: (
        "invalid_scope",
        "The provided request must include a 'scope' input parameter. The provided value for "
        "the input parameter 'scope' is not valid. The scope {scope} is not valid.",
    ),
    70001: ("unsupported_response_type", "The response type '{kind}' is not supported."),
    90002: (
        "invalid_request",
        "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are "
        "signing into the correct cloud.",
    ),
    90009: (
        "invalid_request",
        "Application '{client}' is requesting a token for itself. This scenario is supported "
        "only if resource is specified using the GUID based App Identifier.",
    ),
    500011: (
        "invalid_resource",
        "The resource principal named {resource} was not found in the tenant named {tenant}. "
        "This can happen if the application has not been installed by the administrator of the "
        "tenant or consented to by any user in the tenant.",
    ),
    500112: (
        "invalid_grant",
        "The reply address '{uri}' does not match the reply address provided when requesting "
        "Authorization code.",
    ),
    500131: (
        "invalid_grant",
        "Assertion audience does not match the Client app presenting the assertion. The "
        "audience in the assertion was '{audience}' and the expected audience is '{client}' or "
        "one of the Application Uris of this application.",
    ),
    500133: (
        "invalid_grant",
        "Assertion is not within its valid time range. Ensure that the access token is not "
        "expired before using it for user assertion, or request a new token. Current time: "
        "{now}, expiry time of assertion {expiry}.",
    ),
    501481: (
        "invalid_grant",
        "The Code_Verifier does not match the code_challenge supplied in the authorization "
        "request.",
    ),
    700016: (
        "unauthorized_client",
        "Application with identifier '{client}' was not found in the directory '{tenant}'. This "
        "can happen if the application has not been installed by the administrator of the "
        "tenant or consented to by any user in the tenant.",
    ),
    70043: (
        "invalid_grant",
        "The refresh token has expired or is invalid due to sign-in frequency checks by "
        "conditional access.",
    ),
    700021: (
        "invalid_client",
        "Client assertion application identifier doesn't match 'client_id' parameter.",
    ),
    700023: ("invalid_client", "Client assertion audience claim does not match Realm issuer."),
    700024: (
        "invalid_client",
        "Client assertion is not within its valid time range. Current time: {now}, expiry time "
        "of assertion {expiry}.",
    ),
    700025: (
        "invalid_client",
        "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
    ),
    700027: ("invalid_client", "Client assertion failed signature validation. [Reason - {reason}]"),
    700082: (
        "invalid_grant",
        "The refresh token has expired due to inactivity. The token was issued on {issued} and "
        "was inactive for {lifetime} seconds.",
    ),
    700211: (
        "invalid_client",
        "No matching federated identity record found for presented assertion issuer '{value}'.",
    ),
    700212: (
        "invalid_client",
        "No matching federated identity record found for presented assertion audience '{value}'.",
    ),
    700213: (
        "invalid_client",
        "No matching federated identity record found for presented assertion subject '{value}'.",
    ),
    900144: (
        "invalid_request",
        "The request body must contain the following parameter: '{parameter}'.",
    ),
    1002012: (
        "invalid_scope",
        "The provided value for scope {scope} is not valid. Client credential flows must have a "
        "scope value with /.default suffixed to the resource identifier (application ID URI).",
    ),
    7000114: (
        "invalid_grant",
        "Application '{client}' is not allowed to make application on-behalf-of calls.",
    ),
    7000215: (
        "invalid_client",
        "Invalid client secret provided. Ensure the secret being sent in the request is the "
        "client secret value, not the client secret ID, for a secret added to app '{client}'.",
    ),
    7000218: (
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or "
        "'client_secret'.",
    ),
    7000222: (
        "invalid_client",
        "The provided client secret keys for app '{client}' are expired. Visit the Azure portal "
        "to create new keys for your app.",
    ),
    9002313: ("invalid_request", "Invalid request. Request is malformed or invalid. {reason}"),
    9002325: (
        "invalid_request",
        "Proof Key for Code Exchange is required for cross-origin authorization code redemption.",
    ),
    9002326: ("invalid_request", "The code_challenge_method '{method}' is not supported."),
}


class _Blank(dict[str, str]):
    """Leaves a placeholder that nobody filled in as it stands."""

    def __missing__(self, key: str) -> str:
        return f"<{key}>"


@dataclass(frozen=True, slots=True)
class AadError:
    """One refusal. `claims` is a JSON document as a string, as Entra sends it."""

    code: int
    message: str
    suberror: str | None = None
    claims: str | None = None

    @property
    def error(self) -> str:
        """The OAuth error code (RFC 6749 §5.2)."""
        return TABLE[self.code][0]

    @property
    def status(self) -> int:
        """The HTTP status: RFC 6749 §5.2 keeps 401 for a client that failed to authenticate."""
        return 401 if self.error == "invalid_client" else 400

    def body(self, now: float, trace_id: str, correlation_id: str, base_url: str) -> dict[str, Any]:
        """Return the JSON body. *now* is UTC seconds since the epoch."""
        stamp = moment(now)
        body: dict[str, Any] = {
            "error": self.error,
            "error_description": f"AADSTS{self.code}: {self.message} Trace ID: {trace_id} "
            f"Correlation ID: {correlation_id} Timestamp: {stamp}",
            "error_codes": [self.code],
            "timestamp": stamp,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
            "error_uri": f"{base_url}/error?code={self.code}",
        }
        if self.suberror is not None:
            body["suberror"] = self.suberror
        if self.claims is not None:
            body["claims"] = self.claims
        return body


def refuse(
    code: int,
    *,
    suberror: str | None = None,
    claims: Mapping[str, Any] | None = None,
    **details: object,
) -> AadError:
    """Make the refusal *code*; its sentence is filled in from *details*."""
    message = TABLE[code][1].format_map(_Blank({k: str(v) for k, v in details.items()}))
    text = None if claims is None else json.dumps(claims, separators=(",", ":"))
    return AadError(code, message, suberror, text)


def moment(seconds: float) -> str:
    """Write a time as Entra does.

    >>> moment(0)
    '1970-01-01 00:00:00Z'
    """
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
