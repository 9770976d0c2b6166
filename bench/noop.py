"""What does grpcio cost before any decision? An ext_authz server that says OK: the floor."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse, OkHttpResponse

_ANSWER: bytes = CheckResponse(ok_response=OkHttpResponse()).SerializeToString()


def main(path: str) -> None:
    """Serve on the Unix socket *path* until ended."""
    sys.setswitchinterval(0.0005)  # as the agent does

    def answer(_message: bytes, _context: grpc.ServicerContext) -> bytes:
        return _ANSWER

    check: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(answer)
    handler = grpc.method_handlers_generic_handler(
        "envoy.service.auth.v3.Authorization", {"Check": check}
    )
    server = grpc.server(ThreadPoolExecutor(4), handlers=[handler])
    server.add_insecure_port(f"unix:{path}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(sys.argv[1])
