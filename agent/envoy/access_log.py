"""What does Envoy itself write down of each request, where that is wanted?

The agent's audit log has its decisions. What Envoy does without asking (`delivery: sds`) is only
here, and so are status, size and duration of everything.
"""

from __future__ import annotations

from envoy.config.accesslog.v3 import accesslog_pb2
from envoy.config.core.v3 import substitution_format_string_pb2 as substitution
from envoy.extensions.access_loggers.file.v3 import file_pb2
from google.protobuf import struct_pb2

from agent.envoy.proto import pack

_DECISION = "envoy.filters.http.ext_authz"
# The names of the audit log, where it has them. The path goes without its query, which may hold
# secrets, and no header that carries a credential is named.
FIELDS = {
    "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "method": "%REQ(:METHOD)%",
    "host": "%REQ(:AUTHORITY)%",
    "path": "%PATH(NQ)%",
    "status": "%RESPONSE_CODE%",
    "flags": "%RESPONSE_FLAGS%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "cluster": "%UPSTREAM_CLUSTER%",
    "upstream": "%UPSTREAM_HOST%",
    "bytesReceived": "%BYTES_RECEIVED%",
    "bytesSent": "%BYTES_SENT%",
    "durationMs": "%DURATION%",
    "txn": "%REQ(X-CORRELATION-ID)%",
    "traceparent": "%REQ(TRACEPARENT)%",
    "subject": f"%DYNAMIC_METADATA({_DECISION}:subject)%",
    "tenant": f"%DYNAMIC_METADATA({_DECISION}:tenant)%",
    "client": f"%DYNAMIC_METADATA({_DECISION}:client)%",
}


def access_log(target: str | None, direction: str) -> list[accesslog_pb2.AccessLog]:
    """Return the access log of one listener; none where *target* is None."""
    if target is None:
        return []
    line = struct_pb2.Struct()
    line.update({"direction": direction, **FIELDS})
    settings = file_pb2.FileAccessLog(
        path="/dev/stdout" if target == "stdout" else target,
        log_format=substitution.SubstitutionFormatString(json_format=line, omit_empty_values=True),
    )
    return [accesslog_pb2.AccessLog(name="envoy.access_loggers.file", typed_config=pack(settings))]
