"""What the journals tell, counted in the database: each line exactly once, whatever dies when.

The cursor of a journal file moves in the transaction that counts the lines behind it.
"""

from __future__ import annotations

from collections import Counter as Sums
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress

from sqlalchemy import BindParameter, Connection, bindparam, case, select, update

from deployments.audit.reader import Chunk, Cursor
from deployments.audit.record import Record, RequestRecord
from deployments.limits.amounts import Amounts
from deployments.limits.limit_set import Counter, LimitName, ScopeKind
from deployments.state.schema import COUNTERS, JOURNAL_CURSORS, LEASES
from deployments.state.upsert import add_rows, insert_if_absent
from deployments.state.usage import add_usage


def project(connection: Connection, start: Cursor, chunk: Chunk) -> Cursor:
    """Count the lines of ``chunk``, read from ``start`` on. Returns up to where the file is counted now.

    Changes nothing when the file is not counted up to ``start``: those lines have been counted before.
    """
    if chunk.after == start or not _move(connection, start, chunk.after):
        return read_cursors(connection, [start.file]).get(start.file, Cursor(start.file))
    requests = [record for record in chunk.records if isinstance(record, RequestRecord)]
    add_usage(connection, requests)
    _spend(connection, requests)
    return chunk.after


def charged(records: Iterable[Record]) -> Sums[Counter]:
    """How much of each counter these records used."""
    sums: Sums[Counter] = Sums()
    for record in records:
        if isinstance(record, RequestRecord):
            for counter, amount in _charges(record):
                sums[counter] += amount
    return sums


def read_cursors(connection: Connection, files: Collection[str]) -> dict[str, Cursor]:
    """How far each of ``files`` is counted; those of which nothing is are left out."""
    rows = connection.execute(select(JOURNAL_CURSORS).where(JOURNAL_CURSORS.c.file.in_(files)))
    return {row.file: Cursor(row.file, row.position, row.hash) for row in rows}


def _move(connection: Connection, start: Cursor, after: Cursor) -> bool:
    """Whether the cursor was at ``start``, from where it moved."""
    if start.offset == 0:
        row = {"file": after.file, "position": after.offset, "hash": after.hash}
        return insert_if_absent(connection, JOURNAL_CURSORS, row)
    table = JOURNAL_CURSORS
    here = (table.c.file == start.file) & (table.c.position == start.offset) & (table.c.hash == start.hash)
    moved = connection.execute(update(table).where(here).values(position=after.offset, hash=after.hash))
    return moved.rowcount == 1


def _spend(connection: Connection, requests: Iterable[RequestRecord]) -> None:
    """What was spent is not leased any more."""
    spent: Sums[Counter] = Sums()
    leased: Sums[tuple[Counter, str]] = Sums()
    for record in requests:
        for counter, amount in _charges(record):
            spent[counter] += amount
            leased[counter, record.replica] += amount
    rows = [
        {"counter": str(counter), "spent": amount, "ends_at": counter.ends_at} for counter, amount in spent.items()
    ]
    add_rows(connection, COUNTERS, rows, ["spent"])
    _lower_leases(connection, leased)


def _lower_leases(connection: Connection, spent: Sums[tuple[Counter, str]]) -> None:
    used: BindParameter[int] = bindparam("used")
    lowered = case((LEASES.c.amount > used, LEASES.c.amount - used), else_=0)
    of_one = (LEASES.c.counter == bindparam("of_counter")) & (LEASES.c.replica == bindparam("of_replica"))
    rows = [
        {"of_counter": str(counter), "of_replica": replica, "used": amount}
        for (counter, replica), amount in spent.items()
    ]
    if rows:
        connection.execute(update(LEASES).where(of_one).values(amount=lowered), rows)


def _charges(record: RequestRecord) -> Iterator[tuple[Counter, int]]:
    """Counters of a later release are left out: this one does not enforce them."""
    used = Amounts(tokens=record.input_tokens + record.output_tokens, cost_nano=record.cost_nano)
    for charge in record.charges:
        with suppress(ValueError):
            limit = LimitName(charge.unit)
            yield Counter(ScopeKind(charge.kind), charge.scope, limit, charge.window_start), used[limit.unit]
