"""What does the server that issued an opaque token say of it (RFC 7662)?"""
