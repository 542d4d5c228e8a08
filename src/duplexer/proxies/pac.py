"""Proxy configuration files (PAC), and finding them by WPAD.

A PAC file is a program of somebody else's. PyPAC runs it, in a process of its own: there it has
neither our environment nor our memory to read, and can be stopped when it does not end.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import queue
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from duplexer.errors import InvalidProxy, ProxyError
from duplexer.http.headers import build_host, shown
from duplexer.proxies.address import Proxy, parse_proxy, redacted

if TYPE_CHECKING:
    from duplexer.http.uri import URI
    from duplexer.limits import Limits

__all__ = ["is_pac", "pac_routes"]

_Routes = list[tuple[Proxy, ...]]

#: What a PAC file may answer with, and what we make of it. Browsers let proxies resolve names.
_KINDS = {
    "PROXY": "http",
    "HTTP": "http",
    "HTTPS": "https",
    "SOCKS": "socks5h",
    "SOCKS4": "socks4a",
    "SOCKS5": "socks5h",
}
#: An answer stays true for so many seconds: programs connect in swarms, and start anew in swarms.
LIFETIME = 60.0
MAX_ANSWERS = 64
_answers: dict[tuple[str, str], tuple[float, str]] = {}
_lock = threading.Lock()

#: Runs in the other process. It finds modules where we find them.
_PROGRAM = """\
import json, sys
job = json.load(sys.stdin)
sys.path[:] = job["modules"]
from duplexer.proxies.script import answer
json.dump(answer(job["script"], job["url"], job["host"]), sys.stdout)
"""


def is_pac(proxy: str) -> bool:
    """Whether ``proxy`` names a configuration (``pac+http://...``, ``wpad:``) and not a proxy."""
    return proxy.startswith("pac+") or proxy == "wpad:"


def pac_routes(proxy: str, uri: URI, limits: Limits) -> _Routes:
    """The ways to ``uri`` that a configuration names, to be tried in their order.

    An empty one is the direct way. Takes its time, up to ``Limits.open_timeout`` for each file.
    Raises :exc:`~duplexer.errors.InvalidProxy` or :exc:`~duplexer.errors.ProxyError`.
    """
    # Paths and queries may hold secrets, and are not the business of whoever wrote the script.
    scheme = "wss" if uri.secure else "ws"
    url = f"{scheme}://{build_host(uri.host, uri.port, uri.secure)}/"
    key = (proxy, url)
    with _lock:
        kept = _answers.get(key)
    if kept is not None and kept[0] > time.monotonic():
        return parse_answer(kept[1], redacted(proxy))
    if find_spec("pypac") is None:
        raise InvalidProxy(redacted(proxy), "PAC files need the extra: pip install 'duplexer[pac]'")
    script = _discover(limits) if proxy == "wpad:" else _read(proxy.removeprefix("pac+"), limits)
    answer = "DIRECT" if script is None else _run(script, url, uri.host, redacted(proxy), limits)
    routes = parse_answer(answer, redacted(proxy))
    with _lock:
        while len(_answers) >= MAX_ANSWERS:
            del _answers[next(iter(_answers))]
        _answers[key] = (time.monotonic() + LIFETIME, answer)
    return routes


def parse_answer(answer: str, name: str) -> _Routes:
    """What ``FindProxyForURL`` returned: ``PROXY a:8080; SOCKS b:1080; DIRECT``.

    What is no way that we know is passed over, unless there is no other.
    """
    routes: _Routes = []
    for element in answer.split(";"):
        kind, _, address = element.strip().partition(" ")
        if kind.upper() == "DIRECT":
            routes.append(())
        elif kind.upper() in _KINDS:
            try:
                routes.append((parse_proxy(f"{_KINDS[kind.upper()]}://{address.strip()}"),))
            except InvalidProxy:
                continue
    if not routes and answer.strip(" ;"):
        raise ProxyError(f"{name} names no proxy that we know: {shown(answer)}")
    return routes or [()]


def _read(address: str, limits: Limits) -> str:
    """The text of a PAC file: at an http, https or file URL, or at a path."""
    shown_address = redacted(address)
    parts = urllib.parse.urlsplit(address)
    if parts.username is not None:
        raise InvalidProxy(shown_address, "a PAC file cannot have a user name and a password")
    try:
        if parts.scheme in ("http", "https"):
            data = _fetch(address, limits)
        else:
            path = urllib.request.url2pathname(parts.path) if parts.scheme == "file" else address
            with Path(path).open("rb") as file:
                data = file.read(limits.max_pac + 1)
    except (OSError, ValueError, http.client.HTTPException) as exc:  # urllib's own are OSError
        raise ProxyError(f"the PAC file {shown_address} cannot be read: {exc}") from exc
    if len(data) > limits.max_pac:
        raise ProxyError(f"the PAC file {shown_address} is larger than {limits.max_pac} (max_pac)")
    try:
        return str(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return str(data.decode("latin-1"))


def _fetch(address: str, limits: Limits) -> bytes:
    """The file at an http or https URL: one deadline for all of it, from the name to the last byte.

    The time-outs of sockets are for each of their calls: header by header they would never come.
    """
    outcomes: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
    connections: list[http.client.HTTPConnection] = []

    def fetch() -> None:
        # Proxies are what we look for: none is used. And urllib follows no redirect to a file.
        handlers = (_Handler(connections), urllib.request.ProxyHandler({}))
        opener = urllib.request.build_opener(*handlers)
        try:
            with opener.open(address, timeout=limits.open_timeout) as response:
                outcomes.put(_body(response, limits))
        except Exception as exc:  # noqa: BLE001 - raised where somebody waits for it
            if isinstance(exc, urllib.error.HTTPError):
                exc.close()  # it is the response as well
            outcomes.put(exc)

    threading.Thread(target=fetch, name="duplexer-pac", daemon=True).start()
    try:
        outcome = outcomes.get(timeout=limits.open_timeout)
    except queue.Empty:
        for connection in connections:
            _cut(connection.sock)
        seconds = limits.open_timeout
        raise TimeoutError(f"it did not come within {seconds} s (open_timeout)") from None
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


class _Handler(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    """Opens http and https URLs, and tells of its connections."""

    def __init__(self, connections: list[http.client.HTTPConnection]) -> None:
        super().__init__()
        self._connections = connections

    def do_open(self, http_class: Any, req: Any, **kwargs: Any) -> Any:
        """See ``urllib.request.AbstractHTTPHandler``."""

        def make(*args: Any, **arguments: Any) -> http.client.HTTPConnection:
            connection: http.client.HTTPConnection = http_class(*args, **arguments)
            self._connections.append(connection)
            return connection

        return super().do_open(make, req, **kwargs)


def _cut(sock: socket.socket | None) -> None:
    # Whoever reads from it in another thread has come to its end.
    if sock is not None:
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _body(response: Any, limits: Limits) -> bytes:
    due = math.inf if limits.open_timeout is None else time.monotonic() + limits.open_timeout
    data = bytearray()
    while len(data) <= limits.max_pac and time.monotonic() < due:  # nobody waits any more
        piece = response.read1(limits.max_pac + 1 - len(data))
        if not piece:
            break
        data += piece
    return bytes(data)


def _discover(limits: Limits) -> str | None:
    """The PAC file that the network offers under the name ``wpad``; ``None`` if there is none."""
    from pypac.wpad import proxy_urls_from_dns

    for url in proxy_urls_from_dns():
        try:
            return _read(url, limits)
        except ProxyError:
            continue
    return None


def _run(script: str, url: str, host: str, name: str, limits: Limits) -> str:
    if not sys.executable or getattr(sys, "frozen", False):
        raise InvalidProxy(name, "PAC files need a Python to run them, and there is none here")
    job = {"modules": sys.path, "script": script, "url": url, "host": host}
    # Windows has no sockets without its root; nothing else of the environment is told.
    environment = {"SYSTEMROOT": os.environ["SYSTEMROOT"]} if sys.platform == "win32" else {}
    try:
        done = subprocess.run(  # noqa: S603 - this Python, and a program of our own
            [sys.executable, "-I", "-c", _PROGRAM],
            input=json.dumps(job).encode(),
            capture_output=True,
            timeout=limits.open_timeout,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ProxyError(f"{name} did not say within {limits.open_timeout} s which proxy") from None
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ProxyError(f"{name} has failed: {shown(lines[-1] if lines else 'without a word')}")
    return str(json.loads(done.stdout))
