"""How shadow copies fared beside the requests that they copy."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from deployments.audit.record import Outcome, RequestRecord


@dataclass(frozen=True, slots=True)
class ShadowComparison:
    """Copies of requests that ``original`` answered, sent to ``shadow``; both ``name@version``.

    Of ``num_compared`` answers, ``num_agreed`` were the same. ``latency_ratio`` is the median over the pairs of
    the time in the replica, the copy's over the original's; None where no pair has both.
    """

    original: str
    shadow: str
    num_copies: int
    num_failed: int
    num_compared: int
    num_agreed: int
    latency_ratio: float | None


class _Original(NamedTuple):
    """What is kept of each request in a journal."""

    version: str
    engine_ms: float | None


@dataclass(slots=True)
class _Sums:
    num_copies: int = 0
    num_failed: int = 0
    num_compared: int = 0
    num_agreed: int = 0
    ratios: list[float] = field(default_factory=list)


def compare_shadows(requests: Iterable[RequestRecord]) -> list[ShadowComparison]:
    """Each pair of versions, sorted. Copies whose original is not among ``requests`` are left out."""
    originals: dict[str, _Original] = {}
    copies: list[RequestRecord] = []
    for record in requests:
        if record.shadow_of is None:
            originals[record.id] = _Original(_answered(record), record.engine_ms)
        else:
            copies.append(record)
    sums: defaultdict[tuple[str, str], _Sums] = defaultdict(_Sums)
    for copy in copies:
        if (original := originals.get(copy.shadow_of or "")) is not None:
            _add(sums[original.version, _asked(copy)], original, copy)
    return [_comparison(pair, each) for pair, each in sorted(sums.items())]


def _add(sums: _Sums, original: _Original, copy: RequestRecord) -> None:
    sums.num_copies += 1
    sums.num_failed += copy.outcome is Outcome.FAILED
    sums.num_compared += copy.agrees is not None
    sums.num_agreed += copy.agrees is True
    if copy.outcome is Outcome.OK and copy.engine_ms and original.engine_ms:
        sums.ratios.append(copy.engine_ms / original.engine_ms)


def _comparison(pair: tuple[str, str], sums: _Sums) -> ShadowComparison:
    return ShadowComparison(
        *pair,
        num_copies=sums.num_copies,
        num_failed=sums.num_failed,
        num_compared=sums.num_compared,
        num_agreed=sums.num_agreed,
        latency_ratio=median(sums.ratios) if sums.ratios else None,
    )


def _answered(record: RequestRecord) -> str:
    return f"{record.model}@{record.version}" if record.model else "-"


def _asked(record: RequestRecord) -> str:
    """A copy that failed was answered by nobody, but it was sent somewhere."""
    return _answered(record) if record.model else (record.attempts[-1].target if record.attempts else "-")
