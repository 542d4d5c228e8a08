"""Proxies that a client goes through."""
