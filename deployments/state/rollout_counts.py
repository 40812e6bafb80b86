"""What became of the requests to the versions of a rollout, counted in the step that was on when they came."""

from __future__ import annotations

from collections import Counter as Sums
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from sqlalchemy import Connection, select

from deployments.audit.record import Outcome, RequestRecord
from deployments.routing.latency_histogram import LatencyHistogram, bucket_of
from deployments.routing.rollout import Rollout
from deployments.routing.rollout_findings import Measure, StepStats, VersionStats
from deployments.routing.sequential_test import Trials
from deployments.state.rollout_rows import read_under_way
from deployments.state.schema import ROLLOUT_COUNTS
from deployments.state.upsert import add_rows
from models.errors import InvalidRequestError, OverloadedError, QuotaExceededError, StowageError, error_code
from models.types import VersionId

_OK = "ok"
_CANCELLED = "cancelled"
_REFUSALS = (InvalidRequestError, OverloadedError, QuotaExceededError)

_Count = tuple[str, str, int]  # version, kind, bucket


class _Kind(StrEnum):
    REQUESTS = "requests"
    ERRORS = "errors"


def _codes(kind: type[StowageError]) -> set[str]:
    """Those of the errors of this kind."""
    return {error_code(kind)}.union(*map(_codes, kind.__subclasses__()))


# How an attempt can end that says nothing of the version: by the caller's doing, or for lack of a place.
_NOT_COUNTED = frozenset({_CANCELLED}.union(*map(_codes, _REFUSALS)))


def collect(connection: Connection, requests: Sequence[RequestRecord]) -> None:
    """Count for every rollout that is under way; without one, this is one small read."""
    for rollout in read_under_way(connection) if requests else ():
        versions = {str(rollout.old), str(rollout.new)}
        sums = Sums(
            count
            for record in requests
            if _is_of_step(record, rollout)
            for count in _observe(record, rollout.route)
            if count[0] in versions
        )
        step = {"rollout": rollout.id, "step": rollout.step}
        rows = [
            {**step, "version": version, "kind": kind, "bucket": bucket, "count": count}
            for (version, kind, bucket), count in sorted(sums.items())
        ]
        add_rows(connection, ROLLOUT_COUNTS, rows, ["count"])


def read_stats(connection: Connection, rollout: Rollout) -> StepStats:
    """Of the step that the rollout is in."""
    old_step = rollout.step - 1 if rollout.is_last_step else rollout.step
    return StepStats(
        old=_read_version(connection, rollout.id, old_step, rollout.old),
        new=_read_version(connection, rollout.id, rollout.step, rollout.new),
    )


def _is_of_step(record: RequestRecord, rollout: Rollout) -> bool:
    """Copies are not, nor is what came before the step."""
    return record.shadow_of is None and record.time.timestamp() >= rollout.entered_at


def _observe(record: RequestRecord, route: str) -> Iterator[_Count]:
    """Each attempt is one trial of its version, so that a retry elsewhere hides nothing, if the rollout of
    ``route`` chose the version: the tests take it for chance which one a request got.

    Latencies are of requests with one attempt only: of others they are not one version's.
    """
    broke_off = record.outcome is Outcome.FAILED and all(each.outcome == _OK for each in record.attempts)
    for number, attempt in enumerate(record.attempts, 1):
        if attempt.rollout == route and attempt.outcome not in _NOT_COUNTED:
            yield attempt.target, _Kind.REQUESTS, 0
            if attempt.outcome != _OK or (broke_off and number == len(record.attempts)):
                yield attempt.target, _Kind.ERRORS, 0
    if record.outcome is Outcome.OK and len(record.attempts) == 1 and record.attempts[0].rollout == route:
        yield from _latencies(record, record.attempts[0].target)


def _latencies(record: RequestRecord, version: str) -> Iterator[_Count]:
    yield version, Measure.TOTAL, bucket_of(record.total_ms)
    if record.first_token_ms is not None:
        yield version, Measure.FIRST_TOKEN, bucket_of(record.first_token_ms)


def _read_version(connection: Connection, rollout: int, step: int, version: VersionId) -> VersionStats:
    table = ROLLOUT_COUNTS
    of_one = (table.c.rollout == rollout) & (table.c.step == step) & (table.c.version == str(version))
    rows = connection.execute(select(table.c.kind, table.c.bucket, table.c.count).where(of_one)).all()
    counts = {(kind, bucket): count for kind, bucket, count in rows}
    histograms = {measure: _histogram(measure, counts.items()) for measure in Measure}
    return VersionStats(
        attempts=Trials(counts.get((_Kind.ERRORS, 0), 0), counts.get((_Kind.REQUESTS, 0), 0)),
        latencies=histograms,
    )


def _histogram(measure: Measure, counts: Iterable[tuple[tuple[str, int], int]]) -> LatencyHistogram:
    return LatencyHistogram({bucket: count for (kind, bucket), count in counts if kind == measure})
