"""Which headers are taken away from a request, whoever allows it?

What the agent strips and writes is its own matter (`agent/flow/headers.py`). Here is what only
Envoy can see or do: its own orders, spellings without end, trailers, and hop-by-hop headers.
"""

from __future__ import annotations

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.config.core.v3 import base_pb2, extension_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2 as filter_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.extensions.http.early_header_mutation.header_mutation.v3 import header_mutation_pb2
from envoy.type.matcher.v3 import regex_pb2, string_pb2

from agent.context.carriers import MOVED_STATE
from agent.envoy.proto import pack

HEADER_MUTATION = "envoy.filters.http.header_mutation"

# Where a stranger says they came from; frameworks build links and redirects from these.
# `x-forwarded-proto` is Envoy's own word at the edge, and to `x-forwarded-for` it adds the peer.
_ORIGIN = r"forwarded|x-forwarded-(host|port|prefix|scheme|server|ssl)|x-real-ip"
# `x.auth.subject`: RFC 9110 §5.6.2 lets a name hold `.`, `~`, `!` and more, and some gateways read
# them all as the `_` of CGI. One pattern for every name of ours and the operator's: RE2 programs
# are bounded. Longer names (`x-amz-meta-a.b`) are somebody else's.
_MISSPELT = "x(-[a-z0-9]+){0,2}[^a-z0-9-].*"
_ORDERS = string_pb2.StringMatcher(prefix="x-envoy-", ignore_case=True)


def orders() -> extension_pb2.TypedExtensionConfig:
    """Remove `x-envoy-*` before the router obeys it: time-outs and retries are not the peer's.

    And keep `tracestate` from a tracer of Envoy's, see `agent/context/carriers.py`.
    """
    return _early(_ORDERS)


def callers(edge: bool) -> extension_pb2.TypedExtensionConfig:
    """Remove orders, misspelt headers of ours, and at the *edge* where a stranger came from."""
    return _early(_ORDERS, _regex(_MISSPELT), *([_regex(_ORIGIN)] if edge else []))


def last() -> hcm.HttpFilter:
    """Drop trailers, and what a protocol upgrade says of other headers.

    RFC 9110 §6.5.2: trailers may be dropped, and HTTP/1.1's are; an HTTP/2 application that merges
    them would read identity from them. §7.6.1: whoever stands behind us drops the headers that
    `Connection` names, ours too; Envoy passes it on for an upgrade, where one word is enough.
    """
    upgrade = base_pb2.HeaderValueOption(
        header=base_pb2.HeaderValue(key="connection", value="Upgrade"),
        append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS,
    )
    mutations = filter_pb2.Mutations(
        request_mutations=[mutation_rules_pb2.HeaderMutation(append=upgrade)],
        request_trailers_mutations=[_removed(_regex(".*"))],
    )
    return hcm.HttpFilter(
        name=HEADER_MUTATION, typed_config=pack(filter_pb2.HeaderMutation(mutations=mutations))
    )


def _early(*names: string_pb2.StringMatcher) -> extension_pb2.TypedExtensionConfig:
    mutation = header_mutation_pb2.HeaderMutation(
        mutations=[*(_removed(name) for name in names), *_moved("tracestate", MOVED_STATE)]
    )
    return extension_pb2.TypedExtensionConfig(
        name="envoy.http.early_header_mutation.header_mutation", typed_config=pack(mutation)
    )


def _moved(name: str, to: str) -> list[mutation_rules_pb2.HeaderMutation]:
    copied = base_pb2.HeaderValueOption(
        header=base_pb2.HeaderValue(key=to, value=f"%REQ({name})%"),
        append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
    return [
        mutation_rules_pb2.HeaderMutation(remove=to),
        mutation_rules_pb2.HeaderMutation(append=copied),
        mutation_rules_pb2.HeaderMutation(remove=name),
    ]


def _removed(names: string_pb2.StringMatcher) -> mutation_rules_pb2.HeaderMutation:
    match = mutation_rules_pb2.HeaderMutation.RemoveOnMatch(key_matcher=names)
    return mutation_rules_pb2.HeaderMutation(remove_on_match=match)


def _regex(pattern: str) -> string_pb2.StringMatcher:
    return string_pb2.StringMatcher(safe_regex=regex_pb2.RegexMatcher(regex=pattern))
