"""Echo servers: ``python -m benchmarks.echo.servers.NAME``."""
