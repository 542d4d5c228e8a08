"""An echo server of the front for threads, for tests of its modules."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import trustme

from duplexer.sync import Server, serve

Serving = Callable[..., AbstractContextManager[tuple[Server, str]]]

PATIENCE = 40.0  #: seconds for what takes milliseconds: only a failure waits so long


def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not come true"
        time.sleep(0.002)


def echo(ws: Any) -> None:
    for message in ws:
        ws.send(message)


class Background(threading.Thread):
    """Calls ``function`` in a thread; ``outcome()`` is what it gave, or raises what it raised."""

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        super().__init__(daemon=True)
        self._call = (function, args, kwargs)
        self._result: Any = None
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        function, args, kwargs = self._call
        try:
            self._result = function(*args, **kwargs)
        except BaseException as exc:
            self._error = exc

    def outcome(self) -> Any:
        self.join(PATIENCE)
        assert not self.is_alive(), "it hangs"
        if self._error is not None:
            raise self._error
        return self._result


@pytest.fixture
def serving() -> Serving:
    """A server on a port of this machine, with its address."""

    @contextmanager
    def served(handler: Any = echo, **kwargs: Any) -> Iterator[tuple[Server, str]]:
        with serve(handler, "127.0.0.1", 0, **kwargs) as server:
            scheme = "wss" if kwargs.get("ssl") else "ws"
            yield server, f"{scheme}://127.0.0.1:{server.socket.getsockname()[1]}/"

    return served


@pytest.fixture(scope="session")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For TLS: the server's and the client's."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(client)
    return server, client


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        one = socket.create_connection(listening.getsockname())
        other, _ = listening.accept()
    with one, other:
        yield one, other
