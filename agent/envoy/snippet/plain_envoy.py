"""What goes into a bootstrap that its owner writes by hand?"""

from __future__ import annotations

from collections.abc import Iterator

from agent.config.attache import Attache
from agent.envoy.filters import EXT_AUTHZ
from agent.envoy.snippet import pieces
from agent.envoy.snippet.text import Part, one_document

TESTED = "Envoy 1.39 and 1.40"

_HEAD = f"""
Attaché as the ext_authz service of an Envoy whose configuration you write yourself.
Tested with {TESTED}. Every number says where its part belongs; docs/envoy.md says why.

Two things nobody can check for you:
- failure_mode_allow stays false. With true, Envoy lets every request in that it could not ask
  about, and the agent never hears of it.
- Only Envoy reaches the application's port: let it listen on 127.0.0.1.
"""
_CLUSTER = """
1. Into static_resources.clusters: the agent, on its Unix socket. Envoy's user needs to be in the
   group of the socket (mode 0660).
"""
_FILTER = """
2. Into http_filters of both http_connection_managers, before every filter that trusts a header or
   an identity, and before the router. No later filter may clear the route cache: what was decided
   on would not be what is served. allowed_headers lists all that the agent reads; add nothing to
   it and take nothing away. with_request_body stays out: it holds streams up, and the agent
   refuses bodies.
"""
_INBOUND = """
3. Into the http_connection_manager that callers reach: merge these with what stands there. They
   leave a path and a header with one reading. preserve_external_request_id is false where callers
   are strangers (listeners.inbound.edge).
"""
_INBOUND_HOST = """
4. Into every virtual host (or route) that leads to the application: this tells the agent the
   direction. A route without it is denied. If you say "underscores: refused" too, the agent no
   longer removes spellings with "_" from requests: only with headers_with_underscores_action as
   in 3. Routes that stand here come before yours: they answer browsers' preflights, once the agent
   has allowed them.
"""
_OUTBOUND = """
5. Into the http_connection_manager that the application calls through (its HTTP_PROXY, or where
   its packets are redirected to): merge these with what stands there.
"""
_HOSTS = """
6. Into virtual_hosts of that one: one for each destination. The agent gives a request the
   credential of the destination that your route names, so each route must lead to that
   destination and nowhere else. The clusters are yours: put yours in place of DESTINATION_....
"""


def snippet(config: Attache) -> str:
    """Return the pieces for a plain Envoy as one YAML document."""
    return one_document(_parts(config))


def _parts(config: Attache) -> Iterator[Part]:
    yield Part(_HEAD, {})
    yield Part(_CLUSTER, {"clusters": [pieces.cluster(config)]})
    yield Part(_FILTER, {"http_filters": [pieces.check_filter(EXT_AUTHZ)]})
    if config.listeners.inbound:
        yield Part(_INBOUND, {"inbound_connection_manager": pieces.of_callers(config)})
        asked = pieces.told(EXT_AUTHZ, direction="inbound")
        host: pieces.Tree = {"typed_per_filter_config": asked}
        if first := pieces.preflight(config, EXT_AUTHZ):
            host["routes"] = first
        yield Part(_INBOUND_HOST, {"inbound_virtual_host": host})
    if config.listeners.outbound:
        yield Part(_OUTBOUND, {"outbound_connection_manager": pieces.of_application(config)})
        hosts = [
            {
                "name": each.name,
                "domains": pieces.domains(each),
                "typed_per_filter_config": pieces.told(
                    EXT_AUTHZ, direction="outbound", destination=each.name
                ),
                "routes": [
                    {"match": {"prefix": "/"}, "route": {"cluster": f"DESTINATION_{each.name}"}}
                ],
            }
            for each in config.called
        ]
        rest = {
            "name": "unmatched",
            "domains": ["*"],
            "typed_per_filter_config": pieces.told(
                EXT_AUTHZ, direction="outbound", unmatched="deny"
            ),
            "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 403}}],
        }
        yield Part(_HOSTS, {"outbound_virtual_hosts": [*hosts, rest]})
