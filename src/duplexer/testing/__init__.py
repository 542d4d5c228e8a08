"""For tests of programs that use WebSockets: connections in memory, clocks, networks that fail.

The names here are imported when they are first used; nothing but the plugin needs pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duplexer.testing.clock import (
        virtual_clock as virtual_clock,
    )
    from duplexer.testing.hangs import (
        Hang as Hang,
    )
    from duplexer.testing.hangs import (
        guard as guard,
    )
    from duplexer.testing.links import (
        Faults as Faults,
    )
    from duplexer.testing.links import (
        Link as Link,
    )
    from duplexer.testing.pairs import (
        connect_to as connect_to,
    )
    from duplexer.testing.pairs import (
        pair as pair,
    )
    from duplexer.testing.pairs import (
        play as play,
    )
    from duplexer.testing.pairs import (
        serve as serve,
    )
    from duplexer.testing.relay import (
        Relay as Relay,
    )
    from duplexer.testing.script import (
        ScriptMismatch as ScriptMismatch,
    )
    from duplexer.testing.scripted import (
        ScriptedClient as ScriptedClient,
    )
    from duplexer.testing.scripted import (
        ScriptedServer as ScriptedServer,
    )
    from duplexer.testing.waiting import (
        waiting_for as waiting_for,
    )

#: Public name → module that has it.
_HOMES = {
    "Faults": "links",
    "Hang": "hangs",
    "Link": "links",
    "Relay": "relay",
    "ScriptMismatch": "script",
    "ScriptedClient": "scripted",
    "ScriptedServer": "scripted",
    "connect_to": "pairs",
    "guard": "hangs",
    "pair": "pairs",
    "play": "pairs",
    "serve": "pairs",
    "virtual_clock": "clock",
    "waiting_for": "waiting",
}

__all__ = [*_HOMES]  # noqa: PLE0604 - names all the same


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
