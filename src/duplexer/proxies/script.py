"""Runs a PAC file, in the process that :mod:`duplexer.proxies.pac` starts for it."""

from __future__ import annotations

__all__ = ["answer"]

#: Bytes that a script may use, where the system can be asked to see to that.
MEMORY = 1 << 30
#: Characters of an answer that are passed on.
MAX_ANSWER = 4096


def answer(script: str, url: str, host: str) -> str:
    """What ``FindProxyForURL(url, host)`` of ``script`` returns; raises whatever goes wrong."""
    from pypac.parser import PACFile

    try:
        import resource
    except ImportError:  # Windows
        pass
    else:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    found = PACFile(script).find_proxy_for_url(url, host)
    return str(found or "DIRECT")[:MAX_ANSWER]
