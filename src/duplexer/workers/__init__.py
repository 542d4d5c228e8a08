"""Several processes on one port, and one process that is told by signals what to do.

::

    run(serve(...), workers=4)
      └─ supervisor ── binds the sockets, starts and replaces workers, hears signals
           ├─ worker ── a server ─┐
           ├─ worker ── a server ─┼─ the bus: what is said to a Group reaches all its members
           └─ worker ── a server ─┘

Processes are forked: what ``serve`` was given need not be pickled. That needs a system that forks;
``run()`` without workers goes everywhere.
"""

from __future__ import annotations

from duplexer.workers.groups import Group
from duplexer.workers.running import run

__all__ = ["Group", "run"]
