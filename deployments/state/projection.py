"""What the journals tell, counted in the database: each line exactly once, whatever dies when.

The cursor of a journal file moves in the transaction that counts the lines behind it.
"""

from __future__ import annotations

from collections import Counter as Sums
from collections.abc import Collection, Iterable, Mapping

from sqlalchemy import BindParameter, Connection, bindparam, case, select, update

from deployments.audit.reader import Chunk, Cursor
from deployments.audit.record import Charge, Record, RequestRecord
from deployments.limits.amounts import Amounts
from deployments.limits.limit_set import Counter, LimitName, ScopeKind
from deployments.state.rollout_counts import collect
from deployments.state.schema import COUNTERS, JOURNAL_CURSORS, LEASES
from deployments.state.upsert import add_rows, insert_if_absent
from deployments.state.usage import add_usage

_UNITS = {name.value: name.unit for name in LimitName}
_KINDS = frozenset(kind.value for kind in ScopeKind)


def project(connection: Connection, start: Cursor, chunk: Chunk) -> Cursor:
    """Count the lines of ``chunk``, read from ``start`` on. Returns up to where the file is counted now.

    Changes nothing when the file is not counted up to ``start``: those lines have been counted before.
    """
    if chunk.after == start or not _move(connection, start, chunk.after):
        return read_cursors(connection, [start.file]).get(start.file, Cursor(start.file))
    requests = [record for record in chunk.records if isinstance(record, RequestRecord)]
    add_usage(connection, requests)
    _spend(connection, requests)
    collect(connection, requests)
    return chunk.after


def charged(records: Iterable[Record]) -> Sums[Counter]:
    """How much of each counter these records used."""
    sums: Sums[Counter] = Sums()
    for (_, counter), amount in _used(records).items():
        sums[counter] += amount
    return sums


def read_cursors(connection: Connection, files: Collection[str] | None = None) -> dict[str, Cursor]:
    """How far each of ``files`` is counted, if any of it is. None: every file that ever was, on whatever node."""
    cursors = select(JOURNAL_CURSORS)
    if files is not None:
        cursors = cursors.where(JOURNAL_CURSORS.c.file.in_(files))
    return {row.file: Cursor(row.file, row.position, row.hash) for row in connection.execute(cursors)}


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
    used = _used(requests)
    spent: Sums[Counter] = Sums()
    for (_, counter), amount in used.items():
        spent[counter] += amount
    rows = [
        {"counter": str(counter), "spent": amount, "ends_at": counter.ends_at} for counter, amount in spent.items()
    ]
    add_rows(connection, COUNTERS, rows, ["spent"])
    _lower_leases(connection, used)


def _lower_leases(connection: Connection, used: Mapping[tuple[str, Counter], int]) -> None:
    spent: BindParameter[int] = bindparam("spent")
    lowered = case((LEASES.c.amount > spent, LEASES.c.amount - spent), else_=0)
    of_one = (LEASES.c.counter == bindparam("of_counter")) & (LEASES.c.replica == bindparam("of_replica"))
    rows = [
        {"of_counter": str(counter), "of_replica": replica, "spent": amount}
        for (replica, counter), amount in used.items()
    ]
    if rows:
        connection.execute(update(LEASES).where(of_one).values(amount=lowered), rows)


def _used(records: Iterable[Record]) -> dict[tuple[str, Counter], int]:
    """By the replica that served, and by counter. Those of a later release, which this one does not enforce, are
    left out."""
    sums: Sums[tuple[str, Charge]] = Sums()
    for record in records:
        if isinstance(record, RequestRecord):
            used = Amounts(tokens=record.input_tokens + record.output_tokens, cost_nano=record.cost_nano)
            for charge in record.charges:
                if charge.unit in _UNITS and charge.kind in _KINDS:
                    sums[record.replica, charge] += used[_UNITS[charge.unit]]
    return {(replica, _counter(charge)): amount for (replica, charge), amount in sums.items()}


def _counter(charge: Charge) -> Counter:
    return Counter(ScopeKind(charge.kind), charge.scope, LimitName(charge.unit), charge.window_start)
