"""Limits over several router replicas, as processes that hammer one state database. No Ray."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from sqlalchemy import select

from deployments.audit.reader import Cursor, read_chunk
from deployments.audit.record import RequestRecord
from deployments.audit.segments import list_segments
from deployments.state.database import Database
from deployments.state.ledger import Ledger
from deployments.state.schema import COUNTERS, LEASES
from deployments.state.usage import read_usage
from deployments.state.usage_total import UsageTotal
from tests.integration.cluster import ROOT, end
from tests.integration.limits_replica import LARGEST, Load, Report

NUM_REPLICAS = 3


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state.db"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with Database.open(url) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@contextmanager
def started(url: str, folder: Path, load: Load) -> Iterator[list[subprocess.Popen[str]]]:
    """All at the same moment: one that comes late finds nothing left."""
    command = [sys.executable, "-W", "error", "-m", "tests.integration.limits_replica", url, str(folder)]
    processes = [
        subprocess.Popen(
            [*command, f"r{number}", json.dumps(asdict(load))],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(NUM_REPLICAS)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        yield processes
    finally:
        end(processes)


def finish(process: subprocess.Popen[str]) -> Report:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return Report(**json.loads(output))


def hammer(url: str, folder: Path, load: Load) -> list[Report]:
    with started(url, folder, load) as processes:
        return [finish(process) for process in processes]


def counted(database: Database) -> UsageTotal:
    with database.read() as connection:
        (total,) = read_usage(connection, [])
    return total


def journaled(folder: Path) -> list[RequestRecord]:
    chunks = [read_chunk(folder, Cursor(segment.file), 2**30) for segment in list_segments(folder)]
    return [record for chunk in chunks for record in chunk.records if isinstance(record, RequestRecord)]


def most_at_once(reports: list[Report]) -> int:
    """Ends come before beginnings of the same moment."""
    changes = sorted(
        change for report in reports for begun, ended in report.spans for change in ((begun, 1), (ended, -1))
    )
    under_way = most = 0
    for _, change in changes:
        under_way += change
        most = max(most, under_way)
    return most


def test_a_budget_is_used_up_and_not_overspent(database: Database, url: str, folder: Path) -> None:
    limit = 300_000
    reports = hammer(url, folder, Load({"tokens_per_month": limit}))
    tokens = sum(report.tokens for report in reports)
    assert 0.95 * limit <= tokens <= limit + NUM_REPLICAS * LARGEST
    assert all(report.tokens for report in reports)
    total = counted(database)
    assert (total.requests, total.input_tokens) == (sum(report.requests for report in reports), tokens)
    with database.read() as connection:
        assert connection.execute(select(COUNTERS.c.spent)).scalars().all() == [tokens]
        assert connection.execute(select(LEASES)).all() == []


def test_a_count_of_requests_is_exact(url: str, folder: Path, database: Database) -> None:
    """Each takes one, so that there is no rest to go over."""
    wait_for_a_new_minute()
    reports = hammer(url, folder, Load({"requests_per_minute": 500}))
    assert sum(report.requests for report in reports) == counted(database).requests == 500


def test_no_more_than_so_many_run_at_once_and_no_replica_keeps_the_slots(url: str, folder: Path) -> None:
    load = Load({"concurrent_requests": 7, "tokens_per_month": 120_000}, request_s=0.03)
    reports = hammer(url, folder, load)
    assert most_at_once(reports) == 7
    assert min(report.requests for report in reports) > 0.1 * sum(report.requests for report in reports)


def test_a_killed_replica_loses_and_doubles_nothing(database: Database, url: str, folder: Path) -> None:
    limit = 600_000
    load = Load({"tokens_per_month": limit}, give_up_s=8)  # what the victim held comes free within 5 s
    with started(url, folder, load) as (victim, *others):
        while sum(record.replica == "r0" for record in journaled_so_far(folder)) < 200:
            time.sleep(0.05)
        victim.kill()
        victim.communicate(timeout=30)
        for process in others:
            finish(process)
    survivor = Ledger(database, folder, "r9", time.time)
    while survivor.tend():  # as any replica of this node does
        pass
    records = journaled(folder)
    total = counted(database)
    assert total.requests == len(records)
    assert total.input_tokens == sum(record.input_tokens for record in records)
    assert 0.95 * limit <= total.input_tokens <= limit + NUM_REPLICAS * LARGEST
    with database.read() as connection:
        assert connection.execute(select(COUNTERS.c.spent)).scalars().all() == [total.input_tokens]
        assert connection.execute(select(LEASES)).all() == []


def journaled_so_far(folder: Path) -> list[RequestRecord]:
    return journaled(folder) if folder.is_dir() else []


def wait_for_a_new_minute() -> None:
    """If this one ends too soon."""
    left_s = 60 - time.time() % 60
    if left_s < 25:
        time.sleep(left_s)
