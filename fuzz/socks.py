"""Answers of any bytes to a client of SOCKS.

The first byte says which kind of proxy and of target, the second where the rest is cut. Oracle: a
tunnel, or a ProxyError; the same however the bytes are cut; and nothing is taken that follows.
"""

# ruff: noqa: PT017
from __future__ import annotations

from duplexer.errors import ProxyError
from duplexer.proxies.address import parse_proxy
from duplexer.proxies.socks import socks_tunnel

PROXIES = [
    parse_proxy(text)
    for text in ("socks4://p", "socks4a://u@p", "socks5://p", "socks5h://p", "socks5h://u:p@p")
]
HOSTS = ["192.0.2.1", "2001:db8::1", "example.com"]


def run(proxy_index: int, host: str, pieces: list[bytes]) -> tuple[object, ...]:
    steps = socks_tunnel(PROXIES[proxy_index], host, 443)
    written = b""
    try:
        wanted = next(steps)
        for piece in [*pieces, b""]:
            while wanted is not None:
                written += wanted
                wanted = next(steps)
            wanted = steps.send(piece)
        raise AssertionError("it goes on after the end")
    except StopIteration:
        return ("open", written)
    except ProxyError as error:
        assert str(error) and error.explain()
        return (type(error), written)


def target(data: bytes) -> None:
    if len(data) < 2:
        return
    kind, cut, answer = data[0], data[1], data[2:]
    proxy_index = kind % len(PROXIES)
    resolves = PROXIES[proxy_index].resolves
    host = HOSTS[kind // len(PROXIES) % (len(HOSTS) if resolves else 2)]
    whole = run(proxy_index, host, [answer] if answer else [])
    cut %= len(answer) + 1
    pieces = [piece for piece in (answer[:cut], answer[cut:]) if piece]
    single = [answer[i : i + 1] for i in range(len(answer))]
    for other in (run(proxy_index, host, pieces), run(proxy_index, host, single)):
        # What follows a tunnel is seen only if it came with the answer.
        assert other == whole or (whole[0] != "open" and other[0] == "open")
