"""Sets of networks: which of those who connect are believed."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Networks", "parse_address"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_address(text: str) -> Address | None:
    """``text`` as an IP address, with or without a zone; ``None`` if it is none.

    An IPv4 address that came over IPv6 (``::ffff:192.0.2.1``) is the IPv4 address.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if address.version == 6 else None
    return mapped or address


class Networks:
    """Those of ``names``: networks (``10.0.0.0/8``), addresses, and ``unix`` for Unix sockets.

    Raises :exc:`ValueError` for anything else.
    """

    def __init__(self, names: Iterable[str]) -> None:
        if isinstance(names, str):
            raise TypeError(f"networks must be a list of networks, not the string {names!r}")
        self.unix = False
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for name in names:
            if name == "unix":
                self.unix = True
                continue
            try:
                self._networks.append(ipaddress.ip_network(name))
            except ValueError as exc:
                raise ValueError(
                    f"{name!r} is no network ({exc}): write 10.0.0.0/8, fd00::/8, one address, "
                    "or 'unix' for peers on a Unix socket"
                ) from None

    def covers(self, address: Address) -> bool:
        """Whether ``address`` is in one of them."""
        return any(address in network for network in self._networks)

    def __contains__(self, peer: Any) -> bool:
        """Whether ``peer``, as a socket names it, is in one of them."""
        if not isinstance(peer, tuple):
            return self.unix
        address = parse_address(peer[0])
        return address is not None and self.covers(address)
