"""Which client sends this request, and did it prove it (RFC 6749 §2.3, RFC 7523)?"""

import hmac
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from demo.idp import jose
from demo.idp.desk import Desk, TokenRequest
from demo.idp.directory import App, FederatedCredential, Tenant
from demo.idp.errors import AadError, moment, refuse
from demo.idp.tokens import Client

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def authenticate(request: TokenRequest, tenant: Tenant, desk: Desk) -> Client | AadError:
    """Return the client of *request*, or the first reason why it is not proven."""
    form = request.form
    named, secret = request.basic or (form.get("client_id"), form.get("client_secret"))
    assertion = form.get("client_assertion")
    if not named:
        return refuse(900144, parameter="client_id")
    app = desk.directory.app(named)
    if app is None or app.client_id != named.lower() or tenant.id not in app.tenants:
        return refuse(700016, client=named, tenant=tenant.name)
    if app.public:
        return refuse(700025) if secret or assertion else Client(app, "0")
    if assertion:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            return refuse(900144, parameter="client_assertion_type")
        return _by_assertion(assertion, app, tenant, desk)
    if secret:
        return _by_secret(secret, app, desk.now)
    return refuse(7000218)


def _by_secret(secret: str, app: App, now: int) -> Client | AadError:
    for known in app.secrets:
        if hmac.compare_digest(known.value.encode(), secret.encode()):
            if known.expires is not None and known.expires <= now:
                return refuse(7000222, client=app.client_id)
            return Client(app, "1")
    return refuse(7000215, client=app.client_id)


def _by_assertion(assertion: str, app: App, tenant: Tenant, desk: Desk) -> Client | AadError:
    jws = jose.parse(assertion)
    if jws is None:
        return refuse(50027)
    # A certificate's owner speaks in its own name; any other issuer needs a federation.
    own = jws.claims.get("iss") == app.client_id
    prove = _by_certificate if own else _by_federation
    failure = prove(jws, app, tenant, desk) or _lifetime(jws, desk)
    return failure or Client(app, "2")


def _by_certificate(jws: jose.Jws, app: App, tenant: Tenant, desk: Desk) -> AadError | None:
    certificates = [x509.load_pem_x509_certificate(pem.encode()) for pem in app.certificates]
    matching = [c for c in certificates if _named_by(jws, c)]
    if not matching:
        return refuse(700027, reason="The key was not found.")
    key = matching[0].public_key()
    if not isinstance(key, rsa.RSAPublicKey) or not jose.proves(jws, key):
        return refuse(700027, reason="The provided signature value did not match.")
    if jws.claims.get("sub") != app.client_id:
        return refuse(700021)
    urls = desk.names.token_urls(tenant.id, tenant.name, "common", "organizations")
    if jws.claims.get("aud") not in urls | {desk.names.v2_issuer(tenant.id)}:
        return refuse(700023)
    return None


def _named_by(jws: jose.Jws, certificate: x509.Certificate) -> bool:
    for name, algorithm in (("x5t#S256", SHA256()), ("x5t", SHA1())):
        thumbprint = jws.header.get(name)
        if isinstance(thumbprint, str):
            # msal pads its thumbprints, RFC 7515 §4.1.7 does not
            return thumbprint.rstrip("=") == jose.b64url(certificate.fingerprint(algorithm))
    return False


def _by_federation(jws: jose.Jws, app: App, _tenant: Tenant, _desk: Desk) -> AadError | None:
    audiences = jws.claims.get("aud")
    presented = audiences if isinstance(audiences, list) else [audiences]
    # Each step narrows the records down; the step that leaves none names the error.
    steps: tuple[tuple[int, object, Callable[[FederatedCredential], bool]], ...] = (
        (700211, jws.claims.get("iss"), lambda record: record.issuer == jws.claims.get("iss")),
        (700213, jws.claims.get("sub"), lambda record: record.subject == jws.claims.get("sub")),
        (700212, audiences, lambda record: record.audience in presented),
    )
    records = app.federated_credentials
    for code, value, matches in steps:
        records = tuple(record for record in records if matches(record))
        if not records:
            return refuse(code, value=value)
    kid = jws.header.get("kid")
    for record in records:
        for jwk in record.keys:
            if jwk.get("kid", kid) == kid and jose.proves(jws, jose.public_key(jwk)):
                return None
    return refuse(700027, reason="The key was not found.")


def _lifetime(jws: jose.Jws, desk: Desk) -> AadError | None:
    expiry, start = jws.claims.get("exp"), jws.claims.get("nbf", 0)
    if not isinstance(expiry, int | float) or not isinstance(start, int | float):
        return refuse(700024, now=moment(desk.now), expiry="not given")
    skew = desk.names.settings.clock_skew
    if not start - skew <= desk.now < expiry + skew:
        return refuse(700024, now=moment(desk.now), expiry=moment(expiry))
    return None
