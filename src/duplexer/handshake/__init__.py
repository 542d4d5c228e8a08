"""The opening handshake of RFC 6455 4, both roles, without I/O."""
