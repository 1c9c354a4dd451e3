"""Histograms of durations: cheap to fill, exact to add up, a fifth wide per bucket. Pure.

A bucket is found by shifting, without a loop or a logarithm: four per doubling, from 256 ns to
30 s. Counts only grow, so that the difference of two snapshots is the histogram of the time
between; a batch is observed once, with its size as the weight.
"""

from collections.abc import Sequence
from typing import Final

UNIT_BITS: Final = 8  # the finest bucket is 256 ns
PER_DOUBLING: Final = 4
BUCKETS: Final = 104


def bucket_of(ns: int) -> int:
    """The bucket that a duration falls into; the last one takes all that is longer."""
    units = ns >> UNIT_BITS if ns > 0 else 0
    shift = units.bit_length() - 3
    if shift <= 0:
        return units
    return min(shift * PER_DOUBLING + (units >> shift), BUCKETS - 1)


def upper_ns(bucket: int) -> int:
    """The end of a bucket, exclusive, in ns."""
    if bucket < PER_DOUBLING:
        return bucket + 1 << UNIT_BITS
    shift = bucket // PER_DOUBLING - 1
    return bucket % PER_DOUBLING + PER_DOUBLING + 1 << shift + UNIT_BITS


class Histogram:
    """Durations in ns."""

    __slots__ = ("counts", "sum_ns")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.sum_ns = 0

    def observe(self, ns: int, weight: int = 1) -> None:
        """weight durations of ns each; a negative one, after a jump of the clock, counts as 0."""
        self.counts[bucket_of(ns)] += weight
        if ns > 0:
            self.sum_ns += ns * weight

    def wire(self) -> tuple[int, list[int]]:
        """(sum in ns, counts by bucket), as a snapshot carries it."""
        return self.sum_ns, self.counts


def quantile_s(counts: Sequence[int], q: float) -> float | None:
    """The q-quantile in seconds, read off within its bucket; None when nothing was counted."""
    total = sum(counts)
    if total == 0:
        return None
    rank, seen = q * total, 0
    for bucket, count in enumerate(counts):
        if count and seen + count >= rank:
            start_ns = upper_ns(bucket - 1) if bucket else 0
            share = (rank - seen) / count
            return (start_ns + (upper_ns(bucket) - start_ns) * share) / 1e9
        seen += count
    return upper_ns(BUCKETS - 1) / 1e9


def octaves(counts: Sequence[int]) -> list[tuple[float, int]]:
    """(upper bound in seconds, how many are below), one per doubling: for Prometheus."""
    bounds, seen = [], 0
    for bucket, count in enumerate(counts[:-1]):
        seen += count
        if bucket % PER_DOUBLING == PER_DOUBLING - 1:
            bounds.append((upper_ns(bucket) / 1e9, seen))
    return bounds
