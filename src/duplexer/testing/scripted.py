"""Scripts on real sockets: peers for any client or server, in this program or in another one.

Each connection has a thread of its own: it makes no difference whether the test runs asyncio, trio
or neither.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

from duplexer.driver.steps import Read, Write
from duplexer.http.uri import parse_uri
from duplexer.testing.player import Break, End, Pause, Player
from duplexer.testing.script import ScriptMismatch

if TYPE_CHECKING:
    import ssl as ssl_module
    from collections.abc import Callable, Mapping, Sequence

    from duplexer.testing.script import ScriptStep

__all__ = ["ScriptedClient", "ScriptedServer"]

#: Seconds for what is on its way when a test is over: only a script that waits in vain takes them.
PATIENCE = 5.0


class _Conversation:
    """Plays a script on a socket, in a thread."""

    def __init__(self, player: Player) -> None:
        self.player = player
        self._sock: socket.socket | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=player.title, daemon=True)
        self._get: Callable[[], socket.socket]

    def start(self, get: Callable[[], socket.socket]) -> None:
        """Begin on the socket that ``get`` connects."""
        self._get = get
        self._thread.start()

    def _run(self) -> None:
        player = self.player
        try:
            with self._get() as sock:
                self._sock = sock
                self._play(sock)
        except OSError as exc:
            if not player.finished and not self._stopped.is_set():
                player.fail(f"the connection failed: {exc}")

    def _play(self, sock: socket.socket) -> None:
        steps = self.player.steps()
        value: bytes | None = None
        try:
            while True:
                step = steps.send(value)
                value = None
                if isinstance(step, Read):
                    value = self._read(sock)
                elif isinstance(step, Write):
                    sock.sendall(step.data)
                elif isinstance(step, Pause):
                    self._stopped.wait(step.seconds)
                elif isinstance(step, Break):
                    _reset(sock)
                elif isinstance(step, End):
                    self._end(sock)
        except StopIteration:
            pass

    def _read(self, sock: socket.socket) -> bytes:
        try:
            return sock.recv(65536)
        except ConnectionError:
            return b""

    def _end(self, sock: socket.socket) -> None:
        # What the peer still sends has to be read, or closing would reset the connection.
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass

    def join(self, patience: float) -> None:
        """Wait for the end of the script; then it is ended."""
        if not self.player.is_stalled:
            self._thread.join(patience)
        player = self.player
        if self._thread.is_alive() and not player.finished and player.mismatch is None:
            player.fail("the test is over, and this has not happened")
        self._stopped.set()
        sock = self._sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()


def _reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class _Scripted:
    """What scripted servers and clients have in common."""

    def __init__(self) -> None:
        self._conversations: list[_Conversation] = []

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, exc_type: object, exc: BaseException | None, tb: object) -> None:
        self._stop(0.0 if exc is not None else PATIENCE)
        mismatch = self.mismatch
        if mismatch is not None:
            raise mismatch from exc

    async def __aenter__(self) -> Self:
        self._start()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: object
    ) -> None:
        await _in_thread(self.__exit__, exc_type, exc, tb)

    @property
    def mismatch(self) -> ScriptMismatch | None:
        """What went otherwise than the scripts say; leaving the block raises it."""
        for conversation in self._conversations:
            if conversation.player.mismatch is not None:
                return conversation.player.mismatch
        return None

    def _start(self) -> None:
        raise NotImplementedError

    def _stop(self, patience: float) -> None:
        for conversation in self._conversations:
            conversation.join(patience)


async def _in_thread(function: Callable[..., None], *args: Any) -> None:
    # The loop goes on meanwhile: a client that is closing may be what the script waits for.
    trio: Any = sys.modules.get("trio")
    if trio is not None:
        try:
            trio.lowlevel.current_task()
        except RuntimeError:
            pass
        else:
            await trio.to_thread.run_sync(function, *args)
            return
    import asyncio

    await asyncio.to_thread(function, *args)


class ScriptedServer(_Scripted):
    """A server on a free port of the loopback that plays scripts; use it in ``with``.

    The first connection gets the first script, the next one the second: one more than there are
    scripts is a mismatch, unless ``repeat=True``, which plays the last one again and again.
    ``ssl`` is a server's context, for ``wss:``. Leaving the block waits until all scripts are
    through and raises :exc:`~duplexer.testing.script.ScriptMismatch` for what went otherwise.
    """

    def __init__(
        self,
        *scripts: Sequence[ScriptStep],
        repeat: bool = False,
        ssl: ssl_module.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__()
        if not scripts:
            raise TypeError("ScriptedServer() needs a script: a list of steps")
        self._scripts = scripts
        self._repeat = repeat
        self._ssl = ssl
        self._host = host
        self._idle = [_player(script, i) for i, script in enumerate(scripts, 1)]
        self._closing = False
        self._surplus: ScriptMismatch | None = None

    @property
    def uri(self) -> str:
        """Where it is: ``ws://127.0.0.1:...`` or ``wss://``."""
        host, port = self._listener.getsockname()[:2]
        return f"{'ws' if self._ssl is None else 'wss'}://{host}:{port}/"

    @property
    def mismatch(self) -> ScriptMismatch | None:
        """See the base class."""
        return self._surplus or super().mismatch

    def _start(self) -> None:
        self._listener = socket.create_server((self._host, 0))
        self._thread = threading.Thread(target=self._accept, name="scripted server", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        count = 0
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            if self._closing:
                sock.close()
                return
            count += 1
            if self._idle:
                player = self._idle.pop(0)
            elif self._repeat:
                player = _player(self._scripts[-1], count)
            else:
                sock.close()
                self._surplus = self._surplus or ScriptMismatch(
                    f"connection {count} of the scripted server: there are scripts for "
                    f"{len(self._scripts)} only"
                )
                continue
            conversation = _Conversation(player)
            self._conversations.append(conversation)
            conversation.start(lambda sock=sock: self._secured(sock))  # type: ignore[misc]

    def _secured(self, sock: socket.socket) -> socket.socket:
        if self._ssl is None:
            return sock
        try:
            return self._ssl.wrap_socket(sock, server_side=True)
        except BaseException:
            sock.close()
            raise

    def _stop(self, patience: float) -> None:
        super()._stop(patience)
        self._closing = True
        with contextlib.suppress(OSError):  # accept() is not woken by closing alone
            socket.create_connection(self._listener.getsockname()[:2], timeout=1).close()
        self._thread.join()
        self._listener.close()
        super()._stop(0.0)
        for player in self._idle:
            if not self._repeat:
                player.fail("the test is over, and no client has come")
                self._surplus = self._surplus or player.mismatch


def _player(script: Sequence[ScriptStep], number: int) -> Player:
    return Player(script, f"connection {number} of the scripted server")


class ScriptedClient(_Scripted):
    """A client that plays ``script`` against the server at ``uri``; use it in ``with``.

    It dials when the block begins, from a thread. ``headers`` are added to its request; ``ssl`` is
    a client's context, for ``wss:``. Leaving the block waits until the script is through, and
    raises :exc:`~duplexer.testing.script.ScriptMismatch` for what went otherwise.
    """

    def __init__(
        self,
        uri: str,
        script: Sequence[ScriptStep],
        *,
        headers: Mapping[str, str] | None = None,
        ssl: ssl_module.SSLContext | None = None,
    ) -> None:
        super().__init__()
        self._uri = parse_uri(uri)
        if self._uri.secure and ssl is None:
            raise TypeError("wss: needs ssl=, a client's context")
        self._ssl = ssl
        player = Player(
            script,
            "the scripted client",
            client=True,
            path=self._uri.resource_name,
            host=self._uri.host_header,
            headers=[*(headers or {}).items()],
        )
        self._conversations.append(_Conversation(player))

    def _start(self) -> None:
        self._conversations[0].start(self._dial)

    def _dial(self) -> socket.socket:
        sock = socket.create_connection((self._uri.host, self._uri.port))
        if self._ssl is None or not self._uri.secure:
            return sock
        try:
            return self._ssl.wrap_socket(sock, server_hostname=self._uri.host)
        except BaseException:
            sock.close()
            raise
