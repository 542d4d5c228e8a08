"""Benchmarks: ``python -m benchmarks`` compares duplexer with its peers (see README.md)."""
