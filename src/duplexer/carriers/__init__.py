"""What carries WebSocket frames, and the plain HTTP that lives on the same port."""
