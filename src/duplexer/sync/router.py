"""Servers with a handler for each path: see :mod:`duplexer.driver.routing`."""

from __future__ import annotations

import functools

from duplexer.driver.routing import Router, routed
from duplexer.sync.server import serve, unix_serve

__all__ = ["Router", "route", "unix_route"]

route = functools.partial(routed, serve)
unix_route = functools.partial(routed, unix_serve)
