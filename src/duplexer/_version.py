"""The version of the package, in a place that costs nothing to import."""

from __future__ import annotations

__all__ = ["VERSION"]

VERSION = "0.1.0"
