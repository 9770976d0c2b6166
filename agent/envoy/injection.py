"""How does Envoy inject a credential by itself, so that no call is made for each request?

The credential is a secret over our ADS stream, and a filter of the destination's second cluster
writes it into the header (ENVOY.md, "credential_injector and SDS"). That cluster, its secret and
the route to it exist only while a valid credential is in hand. Else the agent is asked as for any
destination, and its answer says what is wrong: Envoy's own would be a bare 401 [M].
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import base_pb2, extension_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.filters.http.credential_injector.v3 import credential_injector_pb2
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2
from envoy.extensions.filters.http.upstream_codec.v3 import upstream_codec_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.extensions.http.injected_credentials.generic.v3 import generic_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from agent.config.attache import Attache
from agent.config.destinations import Destination
from agent.credentials.credential import Injection
from agent.envoy.agent_cluster import HTTP_OPTIONS
from agent.envoy.filters import EXT_AUTHZ
from agent.envoy.proto import from_agent, pack
from agent.flow.headers import CORRELATION, REQUEST_ID
from agent.flow.outbound import kept_inside

Pushed = Mapping[str, Injection]
"""By destination: the credential that Envoy injects there by itself, one header."""

NOTHING_PUSHED: Pushed = MappingProxyType({})

# Envoy cannot cut our member out of a list: the lists stay inside as a whole (SECURITY.md 29).
_CARRIERS = ("baggage", "tracestate")


def pushing_cluster(destination: Destination) -> str:
    """Return the name of the cluster whose filter injects the credential."""
    return f"pushed_{destination.name}"


def secret_of(destination: Destination) -> str:
    """Return the name of the secret that is the credential.

    Another one for another credential or address: a cluster that is changed begins with the secret
    that belongs to it, and the old one never goes to the new address (SECURITY.md 25).
    """
    meant = f"{destination.upstream} {destination.credential.model_dump_json()}"
    return f"credential_{destination.name}_{hashlib.sha256(meant.encode()).hexdigest()[:8]}"


def awaited(config: Attache) -> frozenset[str]:
    """Return the names of all secrets that are pushed as soon as they are in hand."""
    return frozenset(
        secret_of(destination) for destination in config.called if destination.delivery == "sds"
    )


def credentials(config: Attache, pushed: Pushed) -> Iterator[secret_pb2.Secret]:
    """Return the pushed credentials, whole header values. Never an empty one: SECURITY.md 36."""
    for destination in config.called:
        injection = pushed.get(destination.name)
        if injection is None:
            continue
        ((_, value),) = injection.headers
        if not value.strip():
            raise ValueError(f"destination '{destination.name}': an empty credential is not pushed")
        yield secret_pb2.Secret(
            name=secret_of(destination),
            generic_secret=secret_pb2.GenericSecret(
                secret=base_pb2.DataSource(inline_string=value)
            ),
        )


def injecting(
    cluster: cluster_pb2.Cluster, destination: Destination, injection: Injection
) -> cluster_pb2.Cluster:
    """Return *cluster* under the second name, with the filter that injects."""
    ((header, _),) = injection.headers
    name = pushing_cluster(destination)
    cluster.name = cluster.load_assignment.cluster_name = name
    options = http_protocol_options_pb2.HttpProtocolOptions()
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].Unpack(options)
    options.http_filters.extend([_injector(destination, header), _codec()])
    cluster.typed_extension_protocol_options[HTTP_OPTIONS].CopyFrom(pack(options))
    return cluster


def unasked(route: route_components_pb2.Route, config: Attache, injection: Injection) -> None:
    """Let *route* ask nobody, and do of the agent's scrubbing what Envoy can do by itself.

    The application's correlation id goes on, else its request id; its traceparent as it is.
    """
    ((header, _),) = injection.headers
    route.typed_per_filter_config[EXT_AUTHZ].CopyFrom(
        pack(ext_authz_pb2.ExtAuthzPerRoute(disabled=True))
    )
    inside = kept_inside(config.inbound.headers).remove
    removed = dict.fromkeys((*inside, *_CARRIERS, "authorization", header))
    route.request_headers_to_remove.extend(removed)
    # Response headers are written last, when the request carries what was sent.
    route.request_headers_to_add.append(_overwrite(f"%REQ({CORRELATION}?{REQUEST_ID})%"))
    route.response_headers_to_add.append(_overwrite(f"%REQ({CORRELATION})%"))


def _injector(destination: Destination, header: str) -> hcm.HttpFilter:
    generic = generic_pb2.Generic(
        credential=secret_pb2.SdsSecretConfig(name=secret_of(destination), sds_config=from_agent()),
        header=header,
    )
    settings = credential_injector_pb2.CredentialInjector(
        overwrite=True,  # else the application's own header would stay
        allow_request_without_credential=False,
        credential=extension_pb2.TypedExtensionConfig(
            name="envoy.http.injected_credentials.generic", typed_config=pack(generic)
        ),
    )
    return hcm.HttpFilter(
        name="envoy.filters.http.credential_injector", typed_config=pack(settings)
    )


def _codec() -> hcm.HttpFilter:
    """The last upstream filter, without which Envoy takes no others."""
    return hcm.HttpFilter(
        name="envoy.filters.http.upstream_codec",
        typed_config=pack(upstream_codec_pb2.UpstreamCodec()),
    )


def _overwrite(value: str) -> base_pb2.HeaderValueOption:
    return base_pb2.HeaderValueOption(
        header=base_pb2.HeaderValue(key=CORRELATION, value=value),
        append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
