"""Which way to go: rules of ``no_proxy``, and answers of PAC files, of any text.

Oracle: yes or no; addresses of proxies, or a ProxyError.
"""

# ruff: noqa: PT017
from __future__ import annotations

from duplexer.errors import ProxyError
from duplexer.proxies.address import Proxy
from duplexer.proxies.bypass import bypassed
from duplexer.proxies.pac import parse_answer

HOSTS = ["example.com", "192.0.2.1", "2001:db8::1", "fe80::1%eth0", "localhost", "."]


def target(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for host in HOSTS:
        result = bypassed(host, 443, text)
        assert result is bypassed(host, 443, f" ,{text}, ")
        assert bypassed(host, 443, f"{text},*") is True
        assert not result or text.strip(" ,")
    try:
        routes = parse_answer(text, "p")
    except ProxyError as error:
        assert str(error)
        return
    assert routes
    for route in routes:
        for proxy in route:
            assert isinstance(proxy, Proxy) and proxy.host and 1 <= proxy.port <= 65535
