"""Certificates that are replaced while a server serves."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme

from duplexer.asyncio.client import connect
from duplexer.workers.certificates import Certificates
from tests.unit.asyncio.conftest import Serving


def write(path: Path, authority: trustme.CA) -> None:
    issued = authority.issue_cert("127.0.0.1")
    pem = issued.private_key_pem.bytes() + b"".join(p.bytes() for p in issued.cert_chain_pems)
    path.write_bytes(pem)


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_a_new_certificate_is_for_new_connections(serving: Serving, tmp_path: Path) -> None:
    old, new = trustme.CA(), trustme.CA()
    path = tmp_path / "server.pem"
    write(path, old)
    context = Certificates(path)
    async with serving(ssl=context) as (_, uri):
        uri = uri.replace("ws:", "wss:")
        async with connect(uri, proxy=None, ssl=trusting(old)) as before:
            write(path, new)
            context.reload()
            async with connect(uri, proxy=None, ssl=trusting(new)) as after:
                for ws in (before, after):
                    await ws.send("x")
                    assert await ws.recv() == "x"


async def test_what_is_not_usable_changes_nothing(serving: Serving, tmp_path: Path) -> None:
    authority = trustme.CA()
    path = tmp_path / "server.pem"
    write(path, authority)
    context = Certificates(path)
    path.write_text("nothing")
    with pytest.raises(ssl.SSLError):
        context.reload()
    path.unlink()
    with pytest.raises(OSError):
        context.reload()
    async with serving(ssl=context) as (_, uri):
        uri = uri.replace("ws:", "wss:")
        async with connect(uri, proxy=None, ssl=trusting(authority)) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"
