"""Clients: ``python -m benchmarks.echo.clients.NAME PORT``."""
