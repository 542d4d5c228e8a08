"""What runs under callgrind: ``python -m benchmarks.micro.worker REQUESTS PIECE...``.

Each piece is called so and so many times, then twice as often, and the counts of both are dumped:
the difference has neither start-up in it nor what stands around the calls. That is done over
several heaps with different holes in them, because whether a buffer can grow where it is, or is
copied, is chance: on one heap an echo of 1 KiB took 15 % fewer instructions than on all others.
Prints what the counts depend on and only this process knows.
"""

from __future__ import annotations

import ctypes
import gc
import json
import random
import sys
from itertools import repeat

from benchmarks.micro.pieces import PIECES, Call
from duplexer import _pure
from duplexer.core import bytesops
from duplexer.extensions import zlibs

HEAPS = 5


def run(call: Call, times: int) -> None:
    for _ in repeat(None, times):
        call()


def holes(seed: int) -> list[bytearray]:
    """What stands between holes in the heap."""
    chance = random.Random(seed)
    return [bytearray(chance.randrange(600, 20_000)) for _ in range(40)][::2]


def main(library: str, names: list[str]) -> None:
    callgrind = ctypes.CDLL(library)
    gc.disable()
    callgrind.start_counting()
    kept = []
    for heap in range(HEAPS):
        for name in names:
            kept.append(holes(heap))
            piece, call = PIECES[name], PIECES[name].make()
            run(call, 10)
            for times in (piece.calls, 2 * piece.calls):
                callgrind.forget_counts()
                run(call, times)
                callgrind.dump_counts(f"{name} {heap} {times}".encode())
    facts = {"build": _pure.build(), "kernels": bytesops.kernels(), **zlibs.backends()}
    print(json.dumps(facts))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
