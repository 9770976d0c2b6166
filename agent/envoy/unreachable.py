"""What is said where a destination cannot be reached: to the application, and in Envoy's log?

The agent allowed the call and hears no more of it; what then goes wrong, Envoy alone knows.
"""

from __future__ import annotations

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import substitution_format_string_pb2 as substitution
from envoy.config.route.v3 import route_components_pb2
from envoy.extensions.access_loggers.stream.v3 import stream_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from envoy.type.matcher.v3 import string_pb2
from google.protobuf import struct_pb2

from agent.envoy.proto import pack

# Envoy's response flags: no connection (wrong address, wrong certificate), no address at all, the
# connection ended before the answer, no answer in time.
_FLAGS = ("UF", "UH", "UC", "UT")
_WHY = "%UPSTREAM_TRANSPORT_FAILURE_REASON%"
_LINE = {
    "level": "warning",
    "message": "a destination did not answer. Where the failure says CERTIFICATE_VERIFY_FAILED, "
    "its certificate is not by an authority of tls.caFile or does not name tls.sni; else check "
    "its address and whether it runs",
    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "host": "%REQ(:AUTHORITY)%",
    "upstream": "%UPSTREAM_HOST%",
    "failure": _WHY,
    "flags": "%RESPONSE_FLAGS%",
    "txn": "%REQ(X-CORRELATION-ID)%",
}
_PROBLEM = {
    "type": "urn:attache:destination_unavailable",
    "title": "The destination did not answer",
    "status": "%RESPONSE_CODE%",
    "detail": "the call was allowed, but its destination could not be reached or did not answer",
    "failure": _WHY,
    "correlationId": "%REQ(X-CORRELATION-ID)%",
}


def log() -> accesslog_pb2.AccessLog:
    """Return a line in Envoy's own output for each call that no destination answered."""
    settings = stream_pb2.StderrAccessLog(log_format=_json(_LINE))
    return accesslog_pb2.AccessLog(
        name="envoy.access_loggers.stderr", filter=_unanswered(), typed_config=pack(settings)
    )


def problem() -> hcm.LocalReplyConfig:
    """Return the answer to such a call: a problem document (RFC 9457), with Envoy's status.

    gRPC keeps Envoy's words, which become its grpc-message.
    """
    grpc = route_components_pb2.HeaderMatcher(
        name="content-type",
        string_match=string_pb2.StringMatcher(prefix="application/grpc"),
        invert_match=True,
        treat_missing_header_as_empty=True,
    )
    both = accesslog_pb2.AndFilter(
        filters=[
            _unanswered(),
            accesslog_pb2.AccessLogFilter(header_filter=accesslog_pb2.HeaderFilter(header=grpc)),
        ]
    )
    mapper = hcm.ResponseMapper(
        filter=accesslog_pb2.AccessLogFilter(and_filter=both),
        body_format_override=_json(_PROBLEM, "application/problem+json"),
    )
    return hcm.LocalReplyConfig(mappers=[mapper])


def _unanswered() -> accesslog_pb2.AccessLogFilter:
    flags = accesslog_pb2.ResponseFlagFilter(flags=_FLAGS)
    return accesslog_pb2.AccessLogFilter(response_flag_filter=flags)


def _json(fields: dict[str, str], kind: str = "") -> substitution.SubstitutionFormatString:
    line = struct_pb2.Struct()
    line.update(fields)
    return substitution.SubstitutionFormatString(
        json_format=line, omit_empty_values=True, content_type=kind
    )
