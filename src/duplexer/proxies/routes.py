"""Which proxies to go through, from what the caller and the system say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from duplexer.proxies.address import Proxy, parse_proxy
from duplexer.proxies.pac import is_pac, pac_routes
from duplexer.proxies.system import system_proxy

if TYPE_CHECKING:
    from duplexer.http.uri import URI
    from duplexer.limits import Limits

__all__ = ["Routes", "find_routes", "may_block"]

#: Ways to a server, in the order in which to try them: each the proxies from here to there. The
#: empty one is the direct way.
Routes = list[tuple[Proxy, ...]]


def find_routes(proxy: str | Sequence[str] | bool | None, uri: URI, limits: Limits) -> Routes:
    """The ways to ``uri``, at least one.

    ``proxy`` is ``True`` for what the system says; the URL of a proxy, or of a PAC file
    (``pac+https://...``, ``pac+file:///...``), or ``wpad:``; a sequence of proxies, each of which
    is reached through the one before it; or ``None`` for none.

    This may read files and the network, so it *blocks*: call it in a thread where that matters, if
    :func:`may_block` says so. Raises :exc:`~duplexer.errors.InvalidProxy`,
    :exc:`~duplexer.errors.ProxyError` or, for what ``proxy`` cannot be, :exc:`TypeError` or
    :exc:`ValueError`.
    """
    if proxy is True:
        proxy = system_proxy(uri)
    if proxy is None or proxy is False:
        return [()]
    if isinstance(proxy, str):
        if is_pac(proxy):
            return pac_routes(proxy, uri, limits)
        return [(parse_proxy(proxy),)]
    if not isinstance(proxy, Sequence) or not all(isinstance(each, str) for each in proxy):
        raise TypeError(f"proxy must be a URL, several, True or None, not {type(proxy).__name__}")
    if not proxy:
        raise ValueError("proxy is an empty list; proxy=None is the direct way")
    return [tuple(parse_proxy(each) for each in proxy)]


def may_block(proxy: str | Sequence[str] | bool | None, uri: URI) -> bool:
    """Whether :func:`find_routes` has more to do than to read what is in memory already."""
    if proxy is True:
        proxy = system_proxy(uri)
    return isinstance(proxy, str) and is_pac(proxy)
