"""Latencies in fixed buckets, so that counts of many replicas and any length of time just add up. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from math import ceil, inf, log2

from deployments.routing.sequential_test import Trials, evidence_above

_PER_OCTAVE = 16  # each bucket is 4.4% wider than the one before
_MIN_MS = 0.001


def bucket_of(ms: float) -> int:
    """The bucket that a latency falls into."""
    return ceil(log2(max(ms, _MIN_MS)) * _PER_OCTAVE)


def upper_bound_ms(bucket: int) -> float:
    """The longest latency of a bucket, in milliseconds."""
    return float(2.0 ** (bucket / _PER_OCTAVE))


class LatencyHistogram:
    """``counts`` by bucket."""

    def __init__(self, counts: Mapping[int, int]) -> None:
        self._buckets = sorted(counts)
        self._up_to = list(accumulate(counts[bucket] for bucket in self._buckets))
        self.total = self._up_to[-1] if counts else 0

    def quantile_ms(self, share: float) -> float | None:
        """So long took at most this share of the requests, to a bucket's width; None of no requests."""
        found = (bucket for bucket, up_to in self._cumulated() if up_to >= share * self.total)
        return upper_bound_ms(next(found)) if self.total else None

    def surely_above_ms(self, share: float, enough: float) -> float:
        """What the true quantile exceeds, by ``enough`` evidence; 0 where there is too little."""
        above = 0.0
        so_far = 0
        for bucket, up_to in self._cumulated():
            slower = Trials(self.total - so_far, self.total)
            if evidence_above(slower, 1 - share) < enough:
                break
            above, so_far = upper_bound_ms(bucket - 1), up_to
        return above

    def surely_within_ms(self, share: float, enough: float) -> float:
        """What the true quantile does not exceed, by ``enough`` evidence; infinite where there is too little."""
        for bucket, up_to in self._cumulated():
            if evidence_above(Trials(up_to, self.total), share) >= enough:
                return upper_bound_ms(bucket)
        return inf

    def _cumulated(self) -> Iterator[tuple[int, int]]:
        return zip(self._buckets, self._up_to, strict=True)
