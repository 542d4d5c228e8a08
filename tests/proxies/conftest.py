"""Real proxies, one of each for all tests; clients and servers of every front.

``front`` is that of the contract (see ``tests/contract/conftest.py``): a further front there is one
here. ``proxies`` gives the addresses.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator

import pytest
import trustme

from tests.contract.conftest import (  # noqa: F401 - pytest finds them here
    authority,
    client_context,
    front,
    no_proxy,
    pytest_configure,
    pytest_generate_tests,
    pytest_pyfunc_call,
    server_context,
    unlogged,
)
from tests.proxies import daemons
from tests.proxies.daemons import PASSWORD, USER, Daemon, running


class Proxies:
    """What runs; each is started when it is first asked for."""

    def __init__(self, ca: trustme.CA, context: ssl.SSLContext, stack: contextlib.ExitStack):
        self.ca = ca
        self.context = context  #: trusts the certificates of those that have TLS
        self._stack = stack
        self._running: dict[str, Daemon] = {}

    def kind(self, name: str) -> daemons.Kind:
        if name == "squid":
            return daemons.squid(self.ca)
        if name == "haproxy":
            return daemons.haproxy(self.ca, self["squid"].ports["open"])
        if name.startswith("dante"):
            return daemons.dante(password=name == "dante-password")
        settings = {"tinyproxy-password": daemons.ASKING, "tinyproxy-443": daemons.HTTPS_ALONE}
        return daemons.tinyproxy(settings.get(name, ""))

    def __getitem__(self, name: str) -> Daemon:
        if name not in self._running:
            self._running[name] = self._stack.enter_context(running(self.kind(name)))
        return self._running[name]

    def url(self, way: str, userinfo: str = f"{USER}:{PASSWORD}@") -> str:
        """The address of a proxy in ``WAYS``; where it wants a password, with ``userinfo``."""
        scheme, name, port, asks = WAYS[way]
        return f"{scheme}://{userinfo if asks else ''}127.0.0.1:{self[name].ports[port]}"


#: Way → scheme, which proxy, which of its ports, and whether that wants a password.
WAYS = {
    "squid": ("http", "squid", "open", False),
    "squid-digest": ("http", "squid", "digest", True),
    "squid-tls": ("https", "squid", "tls", False),
    "tinyproxy": ("http", "tinyproxy", "open", False),
    "tinyproxy-basic": ("http", "tinyproxy-password", "open", True),
    "tinyproxy-443": ("http", "tinyproxy-443", "open", False),
    "dante-4": ("socks4", "dante", "open", False),
    "dante-5": ("socks5", "dante", "open", False),
    "dante-5h": ("socks5h", "dante", "open", False),
    "dante-password": ("socks5h", "dante-password", "open", True),
    "haproxy-tls": ("https", "haproxy", "tls", False),
    "haproxy-basic": ("https", "haproxy", "password", True),
}


@pytest.fixture(scope="session")
def proxies(
    authority: trustme.CA,  # noqa: F811
    client_context: ssl.SSLContext,  # noqa: F811
) -> Iterator[Proxies]:
    with contextlib.ExitStack() as stack:
        yield Proxies(authority, client_context, stack)
