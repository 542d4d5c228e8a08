"""Counts of latencies: the error is relative and small, nothing is lost."""

from __future__ import annotations

import math
import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from duplexer.cli.load.histogram import Histogram

pytestmark = pytest.mark.both_builds
MOST = 2**40 - 1
values = st.lists(
    st.one_of(
        st.integers(0, 2000), st.integers(0, MOST), st.integers(0, 40).map(lambda n: 2**n - 1)
    ),
    min_size=1,
)


def histogram(numbers: list[int]) -> Histogram:
    made = Histogram()
    for number in numbers:
        made.record(number)
    return made


@given(values, st.sampled_from([0, 50, 90, 99, 99.9, 100]))
@example([511, 512, 513], 50)
@example([MOST], 50)
def test_percentiles_are_close(numbers: list[int], percent: float) -> None:
    exact = sorted(numbers)[max(0, math.ceil(len(numbers) * percent / 100) - 1)]
    found = histogram(numbers).percentile(percent)
    assert exact <= found <= exact * (1 + 1 / 256) + 1


@given(values)
def test_the_extremes_and_the_mean_are_exact(numbers: list[int]) -> None:
    made = histogram(numbers)
    assert (made.total, made.least, made.greatest) == (len(numbers), min(numbers), max(numbers))
    assert made.mean == pytest.approx(sum(numbers) / len(numbers))
    assert made.percentile(100) == max(numbers)


@given(values, values)
def test_merging_is_counting_together(ours: list[int], theirs: list[int]) -> None:
    merged, together = histogram(ours), histogram(ours + theirs)
    merged.merge(pickle.loads(pickle.dumps(histogram(theirs))))
    assert merged.store == together.store
    assert (merged.total, merged.least, merged.greatest) == (
        together.total,
        together.least,
        together.greatest,
    )


def test_a_pickled_one_goes_on_counting() -> None:
    copy = pickle.loads(pickle.dumps(histogram([5])))
    copy.record(7)
    assert (copy.total, copy.percentile(100)) == (2, 7)


def test_what_is_out_of_range_is_counted_at_its_ends() -> None:
    made = histogram([-5, MOST + 5])
    assert (made.least, made.greatest, made.total) == (0, MOST, 2)


def test_nothing() -> None:
    assert (Histogram().percentile(50), Histogram().mean) == (0, 0.0)
