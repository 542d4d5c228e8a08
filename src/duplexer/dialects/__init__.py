"""Dialects: one file for each version of the protocol. Delete one and the rest stand."""
