"""Rows 54 and 59: TLS that stalls, is cut, or proves nothing."""

from __future__ import annotations

import contextlib
import datetime as dt
import ssl
import warnings

import pytest
import trustme

from duplexer import ConnectionClosedError
from tests.contract.peers import TEXT, Raw
from tests.security.attackers import PATIENCE, address_of, dial, echo, read_to_end, struck

pytestmark = pytest.mark.with_tls

HELLO = bytes.fromhex("1603010200010001fc0303") + bytes(32)


async def test_a_handshake_that_stalls(front):
    async with front.serve(echo, open_timeout=0.5) as server:
        for data in (b"", HELLO[:1], HELLO):
            sock = await front.thread(dial, server)
            try:
                await front.thread(sock.sendall, data)
                await front.thread(read_to_end, sock)  # to its end, whatever comes
            finally:
                sock.close()
        await front.until(lambda: not server.opening, PATIENCE)


async def test_who_says_nothing_after_tls(front):
    async with front.serve(echo, open_timeout=1.0) as server:

        def listen():
            with dial(server) as sock, contextlib.suppress(OSError):
                context = front.client_context
                with context.wrap_socket(sock, server_hostname="127.0.0.1") as secure:
                    read_to_end(secure)

        await front.thread(listen)
        await struck(front, server, {"open_timeout": 1})


async def test_old_versions_are_refused(front):
    async with front.serve(echo) as server:
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname = False
        old.verify_mode = ssl.CERT_NONE
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(OSError, match=r".*"):
            await front.thread(Raw.dial, address_of(server), old)


async def test_a_stream_that_is_cut_is_no_goodbye(front):
    """TCP ends in the middle of a frame, without TLS saying so."""
    ends = []

    async def handler(ws):
        try:
            await ws.recv()
        except ConnectionClosedError as exc:
            ends.append(exc)
            raise

    async with front.serve(handler) as server:
        peer = await front.thread(Raw.dial, address_of(server), front.client_context)

        def cut():
            peer.send_bytes(peer.frame(TEXT, b"x" * 1000)[:500])
            peer.sock.close()

        await front.thread(cut)
        await front.until(lambda: ends, PATIENCE)
        assert ends[0].rcvd is None and ends[0].code == 1006


# -- 59: certificates ------------------------------------------------------------------------------


def context_for(authority, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.mark.parametrize("case", ["another host", "another authority", "self-signed", "another ip"])
async def test_certificates_that_prove_nothing(front, authority, case):
    stranger = trustme.CA()
    front.server_context = {
        "another host": lambda: context_for(authority, "example.com"),
        "another authority": lambda: context_for(stranger, "127.0.0.1", "localhost"),
        "self-signed": lambda: context_for(trustme.CA(), "127.0.0.1"),
        "another ip": lambda: context_for(authority, "127.0.0.2"),
    }[case]()
    async with front.serve(echo) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await front.connect(server)
        await front.until(lambda: not server.opening, PATIENCE)


async def test_expired_certificates_are_refused(front, authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    authority.issue_cert("127.0.0.1", not_before=past, not_after=past).configure_cert(context)
    front.server_context = context
    async with front.serve(echo) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            await front.connect(server)
        await front.until(lambda: not server.opening, PATIENCE)


async def test_by_default_nobody_is_trusted_who_need_not_be(front):
    async with front.serve(echo) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await front.connect(server, ssl=None)
        await front.until(lambda: not server.opening, PATIENCE)
