"""Numbers as Prometheus reads them: its text format, version 0.0.4."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

__all__ = ["CONTENT_TYPE", "Histogram", "Page", "together"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """How many values were at most so large, for each of some ``bounds``, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def observe(self, value: float) -> None:
        """Add a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Page:
    """The text, family by family. ``labels`` are those that every sample has."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = dict(labels)
        self._lines: list[str] = []

    def family(
        self,
        name: str,
        kind: str,
        text: str,
        samples: Iterable[tuple[Mapping[str, str], float]],
    ) -> None:
        """A family of counters or gauges: for each sample its labels and its value."""
        self._head(name, kind, text)
        for labels, value in samples:
            self._sample(name, labels, value)

    def histogram(self, name: str, text: str, histogram: Histogram, first: int = 0) -> None:
        """A histogram, with ``first`` values of zero that nobody has added."""
        self._head(name, "histogram", text)
        total = first
        for bound, count in zip(histogram.bounds, histogram.counts, strict=False):
            total += count
            self._sample(f"{name}_bucket", {"le": f"{bound:g}"}, total)
        total += histogram.counts[-1]
        self._sample(f"{name}_bucket", {"le": "+Inf"}, total)
        self._sample(f"{name}_sum", {}, histogram.sum)
        self._sample(f"{name}_count", {}, total)

    def _head(self, name: str, kind: str, text: str) -> None:
        self._lines.append(f"# HELP {name} {text}")
        self._lines.append(f"# TYPE {name} {kind}")

    def _sample(self, name: str, labels: Mapping[str, str], value: float) -> None:
        all_of = {**self._labels, **labels}
        inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in all_of.items())
        self._lines.append(f"{name}{{{inner}}} {value!r}" if inner else f"{name} {value!r}")

    def __str__(self) -> str:
        return "\n".join(self._lines) + "\n"


def together(pages: Iterable[str]) -> str:
    """One page of several, whose samples differ by a label: a family may come only once in it."""
    families: dict[tuple[str, str], list[str]] = {}
    for page in pages:
        for family in f"\n{page}".split("\n# HELP ")[1:]:
            about, kind, *samples = family.rstrip("\n").split("\n")
            families.setdefault((about, kind), []).extend(samples)
    return "".join(
        "\n".join((f"# HELP {about}", kind, *samples, ""))
        for (about, kind), samples in families.items()
    )


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
