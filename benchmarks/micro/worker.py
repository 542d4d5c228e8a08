"""What runs under callgrind: ``python -m benchmarks.micro.worker REQUESTS PIECE...``.

Each piece is called so and so many times, then twice as often, and the counts of both are dumped:
the difference has neither start-up in it nor what stands around the calls. Prints what the counts
depend on and only this process knows.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
from itertools import repeat

from benchmarks.micro.pieces import PIECES, Call
from duplexer import _pure
from duplexer.core import bytesops
from duplexer.extensions import zlibs


def run(call: Call, times: int) -> None:
    for _ in repeat(None, times):
        call()


def main(library: str, names: list[str]) -> None:
    callgrind = ctypes.CDLL(library)
    calls = [(PIECES[name], PIECES[name].make()) for name in names]
    gc.disable()
    callgrind.start_counting()
    for piece, call in calls:
        run(call, 20)
        for times in (piece.calls, 2 * piece.calls):
            callgrind.forget_counts()
            run(call, times)
            callgrind.dump_counts(f"{piece.name} {times}".encode())
    facts = {"build": _pure.build(), "kernels": bytesops.kernels(), **zlibs.backends()}
    print(json.dumps(facts))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
