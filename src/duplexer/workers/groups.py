"""Groups: connections that hear the same, on whichever worker they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from duplexer.core import opcodes
from duplexer.core.prepared import Prepared

if TYPE_CHECKING:
    from duplexer.asyncio.server import ServerConnection

__all__ = ["Group", "members", "on_publish"]

#: name → those of this process
_members: dict[str, set[Any]] = {}
#: connection → the names of its groups
_joined: dict[Any, set[str]] = {}
#: where what is said here is told to the other workers
_publish: Callable[[str, Prepared], None] | None = None


def members(name: str) -> set[Any]:
    """The connections of this process that are in the group called ``name``."""
    return _members.get(name, set())


def on_publish(publish: Callable[[str, Prepared], None] | None) -> None:
    """From now on what is said to a group is given to ``publish`` as well."""
    global _publish
    _publish = publish


class Group:
    """Connections by a name, in all workers: ``broadcast(Group("lobby"), "hello")``.

    Groups of the same name are the same group, so that there is nothing to keep or to share. To
    iterate over one, and its length, is about the members in this process. A connection that ends
    leaves by itself. Without workers all of it works the same, in one process.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"the name of a group must be str, not {type(name).__name__}")
        self.name = name

    def add(self, connection: ServerConnection) -> None:
        """Let ``connection`` hear what is said to the group, until it ends.

        Raises ``ValueError`` when it is in ``Limits.max_groups`` groups already.
        """
        names = _joined.get(connection)
        if names is None:
            if connection.lost:
                return
            names = _joined[connection] = set()
            _when_lost(connection, _leave_all)
        if self.name not in names:
            if len(names) >= connection.limits.max_groups:
                raise ValueError(
                    f"a connection may be in {len(names)} groups: leave some with discard(), or "
                    "raise Limits.max_groups"
                )
            names.add(self.name)
            _members.setdefault(self.name, set()).add(connection)

    def discard(self, connection: ServerConnection) -> None:
        """Take ``connection`` out, if it is in."""
        _joined.get(connection, set()).discard(self.name)
        _leave(self.name, connection)

    def __iter__(self) -> Iterator[Any]:
        return iter(tuple(members(self.name)))

    def __len__(self) -> int:
        return len(members(self.name))

    def __contains__(self, connection: object) -> bool:
        return connection in members(self.name)

    def __bool__(self) -> bool:
        return True  # there may be members elsewhere

    def __repr__(self) -> str:
        return f"<Group {self.name!r}, {len(self)} here>"

    def publish(self, message: Any, text: bool | None = None) -> None:
        """Send a message to the members in the other workers. ``broadcast()`` does it too."""
        if _publish is not None:
            prepared = message if isinstance(message, Prepared) else Prepared(message, text)
            _publish(self.name, prepared)


def _when_lost(connection: Any, call: Callable[[Any], None]) -> None:
    waiter = connection.loop.create_future()
    waiter.add_done_callback(lambda _: call(connection))
    if connection.closed_waiters is None:
        connection.closed_waiters = []
    connection.closed_waiters.append(waiter)


def _leave(name: str, connection: Any) -> None:
    group = _members.get(name)
    if group is not None:
        group.discard(connection)
        if not group:
            del _members[name]


def _leave_all(connection: Any) -> None:
    for name in _joined.pop(connection, ()):
        _leave(name, connection)


def is_text(prepared: Prepared) -> bool:
    """Whether it is sent as text."""
    return bool(prepared.opcode == opcodes.TEXT)
