"""Clients: ``python -m benchmarks.echo.clients.NAME --port PORT``."""
