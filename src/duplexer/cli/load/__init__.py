"""What ``duplexer bench`` puts on a server: connections, messages, and what came of them."""
