"""Histograms: every duration has one bucket, and what they say of it is true to a fifth."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtes.common.histogram import (
    BUCKETS,
    Histogram,
    bucket_of,
    octaves,
    quantile_s,
    upper_ns,
)

LONGEST_NS = upper_ns(BUCKETS - 2) - 1


@given(st.integers(0, LONGEST_NS))
def test_a_duration_lies_within_its_bucket(ns: int) -> None:
    bucket = bucket_of(ns)
    start_ns = upper_ns(bucket - 1) if bucket else 0
    assert start_ns <= ns < upper_ns(bucket)
    assert upper_ns(bucket) - start_ns <= max(256, start_ns / 4)


def test_buckets_ascend_to_30_s() -> None:
    bounds = [upper_ns(i) for i in range(BUCKETS)]
    assert bounds == sorted(set(bounds))
    assert bounds[0] == 256
    assert 30e9 < LONGEST_NS < 31e9


@pytest.mark.parametrize("ns", [LONGEST_NS + 1, 10**15])
def test_what_is_longer_counts_in_the_last_bucket(ns: int) -> None:
    assert bucket_of(ns) == BUCKETS - 1


def test_a_batch_counts_by_its_size() -> None:
    histogram = Histogram()
    histogram.observe(1_000_000, 10)
    histogram.observe(-5)
    total_ns, counts = histogram.wire()
    assert (total_ns, sum(counts), counts[0]) == (10_000_000, 11, 1)


@given(st.lists(st.integers(1_000, 10**9), min_size=1, max_size=200), st.floats(0.01, 1))
def test_a_quantile_is_true_to_a_fifth(durations: list[int], q: float) -> None:
    histogram = Histogram()
    for ns in durations:
        histogram.observe(ns)
    rank = next(i for i in range(1, len(durations) + 1) if i >= q * len(durations))
    exact_s = sorted(durations)[rank - 1] / 1e9
    found_s = quantile_s(histogram.counts, q)
    assert found_s is not None
    assert abs(found_s - exact_s) <= max(exact_s / 4, 256e-9)


def test_nothing_counted_has_no_quantile() -> None:
    assert quantile_s([0] * BUCKETS, 0.5) is None


def test_octaves_are_cumulative_and_double() -> None:
    histogram = Histogram()
    for ns in (100, 2_000, 2_000, 10**9):
        histogram.observe(ns)
    bounds = octaves(histogram.counts)
    assert all(b[0] == pytest.approx(2 * a[0]) for a, b in pairwise(bounds))
    assert next(count for le, count in bounds if le > 1e-6) == 1
    assert next(count for le, count in bounds if le > 2e-6) == 3
    assert bounds[-1][1] == 4
