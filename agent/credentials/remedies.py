"""What does the operator do about a refusal? The pitfalls of the field (ENTRA.md §2, Keycloak)."""

from __future__ import annotations

from collections.abc import Mapping

# code → what to do about it; {…} are fields of `Asked`.
REMEDIES: Mapping[int, str] = {
    7000215: "refused our secret (7000215, wrong). Write the secret's value, not its id, into the "
    "file of identity '{identity}'; the file is reread within 5 s.",
    7000222: "refused our secret (7000222, expired). Rotate the secret of client '{client}'; the "
    "file is reread within 5 s.",
    7000218: "wants a proof that client '{client}' did not give (7000218). Check that its "
    "registration is a confidential one.",
    700016: "does not know client '{client}' in tenant '{tenant}' (700016). Have its administrator "
    "consent to the application, or correct clientId.",
    700027: "could not verify our certificate's signature (700027). Upload the certificate of "
    "identity '{identity}' to client '{client}'.",
    700024: "says that our assertion has expired (700024), also after it was reread. Check that "
    "the federated token file of identity '{identity}' is renewed, and this machine's clock.",
    700023: "does not accept our assertion's audience (700023). Check authority and tenant of "
    "identity '{identity}'.",
    700211: "knows no federated credential for our token's issuer (700211). Add one to client "
    "'{client}' with the cluster's issuer.",
    700212: "knows no federated credential for our token's audience (700212). Project the service "
    "account token for api://AzureADTokenExchange.",
    700213: "knows no federated credential for our token's subject (700213). Add one to client "
    "'{client}' for this service account.",
    70021: "knows no federated credential for our token (70021). Add one to client "
    "'{client}' with the token's issuer, subject and audience.",
    700025: "knows client '{client}' as a public client, which proves nothing (700025). Register "
    "it as a web application.",
    53003: "blocks this user by Conditional Access (53003). That tenant's sign-in log names the "
    "policy; exempt client '{client}' or the user, if that is meant.",
    50076: "asks the user for a second factor (50076). The caller was told how (WWW-Authenticate); "
    "the application in between must relay that answer.",
    50079: "asks the user to register a second factor (50079). The caller was told how "
    "(WWW-Authenticate); the application in between must relay that answer.",
    50196: "sees one token requested over and over (50196). Look for a client of '{client}' that "
    "retries without a pause.",
    500133: "says that the user's token has expired (500133). The caller signs in again; if fresh "
    "tokens are refused too, check this machine's clock.",
    50173: "says that the user's sign-ins were revoked or the password changed (50173). The caller "
    "signs in again; nothing is to be done here.",
    700082: "says that the user's sign-in is too old (700082). The caller signs in again; nothing "
    "is to be done here.",
    70043: "says that a policy limits how long this user's sign-in lasts (70043). The caller signs "
    "in again; nothing is to be done here.",
    500131: "says that the user's token is not meant for client '{client}' (500131). Its audience "
    "must be that client: check issuers[].audiences and clientId.",
    500011: "does not know the resource of scopes {scopes} in tenant '{tenant}' (500011). Correct "
    "the scope, or have that tenant's administrator consent to it.",
    70011: "does not accept the scopes {scopes} (70011). Write them as api://…/.default.",
    28000: "was asked for more than one resource at once (28000). Split the scopes {scopes} among "
    "destinations.",
    1002012: "wants /.default for client credentials (1002012). Correct the scopes {scopes}.",
    90009: "was asked by client '{client}' for a token to itself (90009). Name the resource by its "
    "GUID in the scopes.",
    90002: "does not know tenant '{tenant}' (90002). Correct the tenant of identity '{identity}'.",
    50013: "did not accept the user's token as our assertion (50013). Its audience must be client "
    "'{client}', and it must be an access token of the same cloud.",
    65001: "has no consent for scopes {scopes} by client '{client}' in tenant '{tenant}' (65001). "
    "Grant it: delegated permissions for On-Behalf-Of, application permissions for client "
    "credentials; they are different things.",
    7000114: "does no On-Behalf-Of for an application's own token (7000114). Use "
    "clientCredentials, or let a user call.",
    50105: "does not let this user in (50105): the API behind {scopes} wants an assignment. Assign "
    "the user or a group to that API's enterprise application in tenant '{tenant}'.",
}

# What is wrong with a token exchange: the error, words of its description in lower case, what to
# do. The first that fits is told. The words are Keycloak 26's, whose codes alone say too little.
EXCHANGES: tuple[tuple[str, str, str], ...] = (
    (
        "access_denied",
        "within the token audience",
        "does not exchange the caller's token for client '{client}', which is not in its aud. Have "
        "the client that signs users in ask for a token with audience '{client}' (in Keycloak: an "
        "audience mapper, or a role of '{client}')",
    ),
    (
        "invalid_request",
        "exchange is not enabled",
        "does not let client '{client}' exchange tokens. Switch standard token exchange on in the "
        "client's settings",
    ),
    (
        "invalid_client",
        "audience not found",
        "does not know the audience {target}. Correct audience of the destination: a client id",
    ),
    (
        "invalid_request",
        "audience not available",
        "does not issue tokens for {target} to this user and these scopes. Give the user a role of "
        "it, or client '{client}' a scope with an audience mapper for it",
    ),
    (
        "invalid_request",
        "subject_token' supports",
        "does not take this type of subject token. Correct subjectTokenType of the destination",
    ),
    (
        "invalid_request",
        "requested_token_type",
        "does not issue the requested type of token. Correct requestedTokenType of the destination",
    ),
    (
        "invalid_target",
        "",
        "does not issue tokens for {target}. Correct audience and resource of the destination, or "
        "allow client '{client}' that target",
    ),
    (
        "invalid_scope",
        "",
        "does not grant the scopes {scopes} for {target}. Correct scopes of the destination, or "
        "allow client '{client}' these scopes",
    ),
    (
        "unsupported_grant_type",
        "",
        "does not exchange tokens. Switch token exchange (RFC 8693) on there, or correct tokenUrl",
    ),
    *(
        (
            error,
            "not allowed",
            "does not let client '{client}' exchange tokens. Allow it that grant",
        )
        for error in ("unauthorized_client", "invalid_request", "access_denied")
    ),
    # RFC 8693 §2.2.2: also where one of the two tokens is not acceptable to the server
    (
        "invalid_request",
        "",
        "does not accept the exchange for {target}: the caller's token, our actor token, or the "
        "request itself. Check subjectTokenType, issuers and actor of the destination against what "
        "the server's log says",
    ),
)
# The same where a managed identity vouches for the registration.
_VOUCHED: Mapping[int, str] = {
    700211: "knows no federated credential for our managed identity's issuer (700211). Add one to "
    "client '{client}' of the kind 'managed identity', in the same tenant.",
    700213: "knows no federated credential for our managed identity (700213). Add one to client "
    "'{client}' with its object id as subject, or correct managedIdentity.clientId.",
    700024: "says that our managed identity's token has expired (700024), also after another one "
    "was fetched. Check this machine's clock.",
}


def remedy_for(code: int, vouched: bool) -> str | None:
    """What is to be done about *code*; *vouched*: our proof is a managed identity's token."""
    return (_VOUCHED.get(code) if vouched else None) or REMEDIES.get(code)
