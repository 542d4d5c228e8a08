"""duplexer: the WebSocket system for Python."""
