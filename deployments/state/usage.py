"""What was used: totals by day (UTC, of a request's arrival), key, tenant, model, version and outcome."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date

from sqlalchemy import Connection, func, select

from deployments.audit.record import RequestRecord
from deployments.state.schema import USAGE
from deployments.state.upsert import add_rows
from deployments.state.usage_total import UsageColumn, UsageTotal

_TOTALS = ("requests", "input_tokens", "output_tokens", "cost_nano")


def add_usage(connection: Connection, requests: Iterable[RequestRecord]) -> None:
    """Count requests. Shadows are not: their callers did not ask for them."""
    sums: dict[tuple[object, ...], list[int]] = {}
    for record in requests:
        if record.shadow_of is None:
            total = sums.setdefault(_group(record), [0, 0, 0, 0])
            amounts = (1, record.input_tokens, record.output_tokens, record.cost_nano)
            total[:] = map(int.__add__, total, amounts)
    columns = [*UsageColumn, *_TOTALS]
    rows = [dict(zip(columns, (*group, *total), strict=True)) for group, total in sums.items()]
    add_rows(connection, USAGE, rows, _TOTALS)


def read_usage(
    connection: Connection, by: Sequence[UsageColumn], since: date | None = None, until: date | None = None
) -> list[UsageTotal]:
    """Totals for each value of the columns ``by``, sorted, from the day ``since`` to the day ``until``."""
    columns = [USAGE.c[name] for name in by]
    query = select(*columns, *(func.sum(USAGE.c[name]) for name in _TOTALS)).group_by(*columns).order_by(*columns)
    if since is not None:
        query = query.where(USAGE.c.day >= since)
    if until is not None:
        query = query.where(USAGE.c.day <= until)
    totals = (
        UsageTotal(tuple(map(str, row[: len(by)])), *(int(total or 0) for total in row[len(by) :]))
        for row in connection.execute(query)
    )
    return [total for total in totals if total.requests]


def _group(record: RequestRecord) -> tuple[object, ...]:
    day = record.time.astimezone(UTC).date()
    version = (record.model or "", record.version or "")
    return (day, record.key or "", record.tenant, *version, record.outcome.value)
