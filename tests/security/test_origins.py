"""Rows 12 and 13: pages of other sites, and names that point to us but are not ours."""

from __future__ import annotations

import contextlib

import pytest

from tests.security.attackers import (
    address_of,
    dial,
    echo,
    exchange,
    read_to_end,
    request,
    status,
)


def asked(server, host, origin, **kwargs):
    """The status of a handshake with these; 101 if it is agreed to."""
    extra = "" if origin is None else f"Origin: {origin}\r\n"
    with dial(server) as sock, contextlib.suppress(ConnectionError):
        sock.sendall(request(extra, host=host, **kwargs))
        first = sock.recv(4096)
        if not first.startswith(b"HTTP/1.1 101 "):
            return status(first + read_to_end(sock))
        return 101


#: Host, Origin, whether it may come in. A port is left out only if it is the scheme's own.
ORIGINS = [
    ("example.com", None, True),
    ("example.com", "http://example.com", True),
    ("example.com", "https://example.com", True),  # a proxy in front ends TLS
    ("EXAMPLE.com", "http://Example.COM", True),
    ("example.com:80", "http://example.com", True),
    ("example.com:8080", "http://example.com:8080", True),
    ("[::1]:8080", "http://[::1]:8080", True),
    ("192.0.2.1", "http://192.0.2.1", True),
    ("example.com", "null", False),
    ("example.com", "", False),
    ("example.com", "http://evil.test", False),
    ("example.com", "http://192.0.2.1", False),
    ("example.com", "http://sub.example.com", False),
    ("example.com", "http://example.com.evil.test", False),
    ("example.com", "http://evil-example.com", False),
    ("example.com", "http://example.com:8080", False),
    ("example.com:8080", "http://example.com", False),
    ("example.com", "http://evil.test@example.com", False),
    ("example.com", "http://example.com@evil.test", False),
    ("example.com", "http://a:b", False),
    ("example.com", "file://example.com", False),
    ("example.com", "http://example.com/path", False),
    ("example.com", "http://example.com, http://evil.test", False),
    ("example.com", "http://example.com evil", False),
    ("example.com", "http://", False),
    ("example.com", "example.com", False),
    ("example.com", "\xff" * 50, False),
]


@pytest.mark.one_front
async def test_pages_of_other_sites_are_refused(front):
    async with front.serve(echo) as server:
        for host, origin, allowed in ORIGINS:
            got = await front.thread(asked, server, host, origin)
            assert got == (101 if allowed else 403), (host, origin)


async def test_two_origins_are_refused(front):
    async with front.serve(echo) as server:
        extra = "Origin: http://localhost\r\nOrigin: http://evil.test\r\n"
        assert status(await front.thread(exchange, server, request(extra))) == 403


async def test_names_that_are_not_ours_are_refused(front):
    async with front.serve(echo, allowed_hosts=["localhost", "127.0.0.1", "[::1]"]) as server:
        _, port = address_of(server)
        for host in ("localhost", f"localhost:{port}", "127.0.0.1", f"[::1]:{port}", "LOCALHOST"):
            assert await front.thread(asked, server, host, None) == 101, host
        for host in (
            "evil.test",
            f"evil.test:{port}",
            "localhost.evil.test",
            "127.0.0.1.evil.test",
        ):
            assert await front.thread(asked, server, host, None) == 421, host
            # The page's Origin agrees with its Host: that alone would have let it in.
            assert await front.thread(asked, server, host, f"http://{host}") == 421, host
