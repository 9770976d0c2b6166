"""Is this a person's browser that wants a page, and does the request come from our own pages?

Fetch Metadata (W3C) where a browser says it: a page's script cannot write `Sec-` headers. Else what
`Accept` and `Origin` say.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from agent.config.fields import is_loopback
from agent.errors import Denial, Reason
from agent.flow.request import Request
from agent.policy.routes import host_name

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110 §9.2.1; TRACE is nobody's


def wants_page(request: Request) -> bool:
    """Whether a redirect would lead a person anywhere: a navigation of a whole tab.

    A frame is none: neither we nor a provider would show a sign-in inside of another page.
    """
    if request.method not in ("GET", "HEAD") or request.header("upgrade"):
        return False
    mode = request.header("sec-fetch-mode")
    if mode:
        return mode == "navigate" and request.header("sec-fetch-dest") in ("", "document")
    if request.header("x-requested-with"):
        return False
    return any(
        part.partition(";")[0].strip() in ("text/html", "application/xhtml+xml")
        for part in request.header("accept").lower().split(",")
    )


def origin_of(request: Request, configured: str | None) -> str | Denial:
    """Under which origin the browser knows us; *configured* is the operator's word."""
    if configured is not None:
        return configured
    name = host_name(request.host)
    if isinstance(name, Denial):
        return name
    local = is_loopback(name.strip("[]")) or name.endswith(".localhost")
    return f"{'http' if local else 'https'}://{request.host.lower()}"


def foreign(request: Request, configured: str | None) -> Denial | None:
    """Why a request that may change something is not believed to come from our own pages.

    A cookie proves who the person is, and not that they wanted this: another site's form carries it
    as well, where a browser knows no SameSite or the other site is a subdomain of ours.
    """
    changes = request.method not in SAFE or bool(request.header("upgrade"))
    if not changes:
        return None
    said = request.header("origin")
    if said and not _ours(said, request, configured):
        return _refused()
    site = request.header("sec-fetch-site")
    if site:
        return None if site == "same-origin" or (site == "none" and said) else _refused()
    return None if said else _refused()


def from_elsewhere(request: Request, configured: str | None) -> bool:
    """Whether another site led the browser here, as far as anything says so."""
    said = request.header("origin")
    site = request.header("sec-fetch-site")
    elsewhere = bool(said) and not _ours(said, request, configured)
    return elsewhere or site in ("cross-site", "same-site")


def _ours(said: str, request: Request, configured: str | None) -> bool:
    """Whether the origin *said* is our own; who did not configure it may be behind TLS or not."""
    if configured is not None:
        return same_origin(said, configured)
    return any(same_origin(said, f"{scheme}://{request.host}") for scheme in ("https", "http"))


def same_origin(said: str, origin: str) -> bool:
    """RFC 6454 §5: scheme, host and port; a WebSocket's `Origin` is that of its page."""
    try:
        one, other = urlsplit(said), urlsplit(origin)
        ports = [each.port or (443 if each.scheme == "https" else 80) for each in (one, other)]
    except ValueError:
        return False
    return (one.scheme, one.hostname, ports[0]) == (other.scheme, other.hostname, ports[1]) and (
        one.path in ("", "/") and not one.query
    )


def _refused() -> Denial:
    return Denial(
        Reason.CROSS_SITE,
        "a request that changes something needs a proof that our own page sent it: an Origin, or "
        "Fetch metadata",
    )
