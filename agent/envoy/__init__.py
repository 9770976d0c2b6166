"""How do we speak with Envoy? The codec, the gRPC services, one builder for each resource."""
