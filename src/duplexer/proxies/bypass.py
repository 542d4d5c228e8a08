"""``no_proxy``: the hosts to which there is no proxy."""

from __future__ import annotations

import ipaddress

__all__ = ["bypassed"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def bypassed(host: str, port: int, rules: str) -> bool:
    """Whether ``rules``, separated by commas or spaces, exempt ``host`` (without brackets).

    A rule is ``*``; a name, which stands for itself and for what is below it (``example.com``,
    ``.example.com`` and ``*.example.com`` are the same); an IP address, with or without brackets;
    a network such as ``10.0.0.0/8``. All but networks may end in ``:port``. What cannot be read
    exempts nothing.
    """
    host = host.lower().rstrip(".")
    address = _address(host)
    for rule in rules.lower().replace(",", " ").split():
        if rule == "*":
            return True
        name, wanted = _split(rule)
        if wanted not in ("", str(port)):
            continue
        if address is not None:
            if _covers(name, address):
                return True
            continue
        name = name.removeprefix("*").strip(".")
        if name and (host == name or host.endswith("." + name)):
            return True
    return False


def _split(rule: str) -> tuple[str, str]:
    """The rule without its port, and the port."""
    if rule.startswith("["):
        name, _, port = rule[1:].partition("]")
        return name, port.removeprefix(":")
    name, colon, port = rule.partition(":")
    if colon and ":" not in port and port.isdecimal():
        return name, port.lstrip("0") or "0"
    return rule, ""


def _address(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if address.version == 6 else None
    return mapped or address


def _covers(rule: str, address: _Address) -> bool:
    try:
        network = ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return False
    return address in network
