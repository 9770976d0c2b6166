"""How does an operator turn Envoy's own tracer on? In the connection managers that we print."""

from __future__ import annotations

from typing import Any

_TYPES = "type.googleapis.com/envoy"
_HCM = "filters.network.http_connection_manager.v3.HttpConnectionManager"


def traced(config: dict[str, Any]) -> dict[str, Any]:
    """*config* with an OpenTelemetry tracer in each connection manager, which samples all.

    Nobody collects the spans: what counts is what the tracer does to the headers. *config* is what
    `attache envoy static` prints.
    """
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 9}}
    endpoint = {"lb_endpoints": [{"endpoint": {"address": address}}]}
    provider = {
        "name": "envoy.tracers.opentelemetry",
        "typed_config": {
            "@type": f"{_TYPES}.config.trace.v3.OpenTelemetryConfig",
            "grpc_service": {"envoy_grpc": {"cluster_name": "collector"}, "timeout": "0.25s"},
            "service_name": "crowd",
        },
    }
    for listener in config["static_resources"]["listeners"]:
        for chain in listener["filter_chains"]:
            for each in chain["filters"]:
                if each["typed_config"]["@type"].endswith(_HCM):
                    each["typed_config"]["tracing"] = {
                        "provider": provider,
                        "random_sampling": {"value": 100},
                        "spawn_upstream_span": True,
                    }
    config["static_resources"]["clusters"].append(
        {
            "name": "collector",
            "type": "STATIC",
            "load_assignment": {"cluster_name": "collector", "endpoints": [endpoint]},
        }
    )
    return config
