"""Who hands a destination's token to a local program: gRPC on a socket, HTTP on loopback."""
