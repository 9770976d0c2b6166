"""Unary gRPC over HTTP/2 for one trusted client: a pure core, and an epoll loop around it."""
