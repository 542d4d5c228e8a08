"""Through an HTTP proxy by CONNECT (RFC 9110 9.3.6), for ``ws:`` as well as for ``wss:``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from duplexer.errors import InvalidHeader, InvalidMessage, InvalidProxyMessage, InvalidProxyStatus
from duplexer.http.auth import PasswordAuth, parse_challenges
from duplexer.http.h1 import ResponseReader
from duplexer.http.headers import Headers, build_host
from duplexer.http.messages import USER_AGENT

if TYPE_CHECKING:
    from collections.abc import Generator

    from duplexer.http.messages import Response
    from duplexer.limits import Limits
    from duplexer.proxies.address import Proxy

__all__ = ["HttpTunnel"]


class HttpTunnel:
    """Asks one HTTP proxy for a tunnel, if need be twice: once to hear how it wants to be asked.

    Credentials go to the proxy alone, in the CONNECT request: Basic at once, since nearly all
    proxies want that, and whatever is the strongest that it offers after a 407.
    """

    def __init__(self, proxy: Proxy, limits: Limits) -> None:
        self.proxy = proxy
        self.limits = limits
        self._auth: PasswordAuth | None = None
        self._next: str | None = None  # credentials for the next request
        if proxy.username is not None and proxy.password is not None:
            self._auth = PasswordAuth(proxy.username, proxy.password)

    def open(self, host: str, port: int) -> Generator[bytes | None, bytes, bool]:
        """See :meth:`duplexer.proxies.hops.Hop.open`."""
        target = build_host(host, port, secure=False, always_include_port=True)
        headers = Headers({"Host": target, "User-Agent": USER_AGENT})
        credentials, self._next = self._next, None
        if credentials is None and self._auth is not None:
            credentials = self._auth.preempt("CONNECT", target)
        if credentials is not None:
            headers["Proxy-Authorization"] = credentials
        yield f"CONNECT {target} HTTP/1.1\r\n".encode() + headers.serialize()
        response = yield from self._read()
        if 200 <= response.status_code < 300:
            return True
        if response.status_code == 407 and self._auth is not None:
            try:
                challenges = parse_challenges(
                    response.headers.get_all("Proxy-Authenticate"), "Proxy-Authenticate"
                )
            except InvalidHeader as exc:
                raise InvalidProxyStatus(response, str(self.proxy)) from exc
            self._next = self._auth.answer(challenges, "CONNECT", target)
            if self._next is not None:
                # Whether this connection can be used again depends on what is left of the body
                # and on what the proxy says; a new one always works.
                return False
        raise InvalidProxyStatus(response, str(self.proxy))

    def _read(self) -> Generator[bytes | None, bytes, Response]:
        reader = ResponseReader(self.limits, connect=True)
        response = None
        try:
            while response is None:
                data = yield None
                response = reader.feed(data) if data else reader.feed_eof()
        except InvalidMessage as exc:
            raise InvalidProxyMessage(
                f"the answer of the proxy {self.proxy} cannot be read: {exc}"
            ) from exc
        if reader.rest and 200 <= response.status_code < 300:
            # The target waits for us to speak: nobody has anything to say yet.
            raise InvalidProxyMessage(f"the proxy {self.proxy} sent more than its answer")
        return response
