"""Just enough HTTP: strict, I/O-free, bounded. Nothing here knows of sockets or of WebSocket."""
