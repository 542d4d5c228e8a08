"""How often each latency was seen, to within 0.4 %, from a nanosecond to eighteen minutes.

A log-linear ("high dynamic range") histogram: each power of two is divided into ``STEPS`` equal
steps, so that the error is relative and the memory is fixed. The package ``hdrhistogram`` does the
same in Python at 3 to 5 us a value, which is more than a message costs; compiled, this takes 3 ns.
"""

from __future__ import annotations

from array import array

__all__ = ["Histogram"]

STEPS = 256  #: in each power of two
MOST = (1 << 40) - 1  #: nanoseconds; what takes longer is counted as this much


class Histogram:
    """Counts of whole numbers of nanoseconds."""

    def __init__(self) -> None:
        self.store = array("q", bytes(8 * STEPS * 33))  # 33: of 40 bits, the lowest 8 are exact
        self.counts = self.store
        self.total = 0
        self.sum = 0.0
        self.least = MOST
        self.greatest = 0

    def record(self, value: int) -> int:
        """Count ``value``; what is below zero is counted as zero."""
        if value < 0:
            value = 0
        elif value > MOST:
            value = MOST
        self.least = min(self.least, value)
        self.greatest = max(self.greatest, value)
        self.total += 1
        self.sum += value
        shift = 0
        while value >= 65536 * STEPS:
            value >>= 8
            shift += 8
        while value >= 2 * STEPS:
            value >>= 1
            shift += 1
        self.counts[shift * STEPS + value] += 1
        return 0

    def merge(self, other: Histogram) -> None:
        """Add what ``other`` has counted."""
        for index, count in enumerate(other.store):
            self.store[index] += count
        self.total += other.total
        self.sum += other.sum
        self.least = min(self.least, other.least)
        self.greatest = max(self.greatest, other.greatest)

    def percentile(self, percent: float) -> int:
        """The value that ``percent`` of the values do not exceed; 0 where there are none."""
        wanted = max(1.0, self.total * percent / 100)
        seen = 0
        for index, count in enumerate(self.store):
            seen += count
            if seen >= wanted:
                return max(self.least, min(_highest(index), self.greatest))
        return 0

    @property
    def mean(self) -> float:
        """The arithmetic mean; 0 where there are no values."""
        return self.sum / self.total if self.total else 0.0

    def __getstate__(self) -> tuple[bytes, int, float, int, int]:
        return self.store.tobytes(), self.total, self.sum, self.least, self.greatest

    def __setstate__(self, state: tuple[bytes, int, float, int, int]) -> None:
        counts, self.total, self.sum, self.least, self.greatest = state
        self.store = self.counts = array("q", counts)

    def __reduce__(self) -> tuple[type[Histogram], tuple[()], tuple[bytes, int, float, int, int]]:
        return Histogram, (), self.__getstate__()


def _highest(index: int) -> int:
    """The greatest value that is counted at ``index``."""
    shift = max(0, index // STEPS - 1)
    return ((index - shift * STEPS + 1) << shift) - 1
