"""One router replica as far as limits go: run as a process, as many of them as a test wants.

It says when it is ready and waits for a line. Then it lets requests in without end for as long as anyone is let
in, and prints what they did as JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from deployments.audit.record import Charge, Outcome, RequestRecord
from deployments.audit.writer import JournalWriter
from deployments.limits.admission import admit
from deployments.limits.allowance import Allowance
from deployments.limits.amounts import Amounts
from deployments.limits.limit_set import LimitSet, Scope, ScopedLimits, ScopeKind
from deployments.state.bookkeeper import Bookkeeper
from deployments.state.database import Database
from deployments.state.ledger import Ledger
from models.errors import QuotaExceededError

LARGEST = 400
"""Tokens that a request reserves at most; it uses any number up to that."""


@dataclass
class Load:
    """``give_up_s``: nobody was let in for so long. ``request_s``: how long a request is under way."""

    limits: dict[str, int]
    num_tasks: int = 32
    request_s: float = 0.002
    give_up_s: float = 3.0
    seed: int = 0


@dataclass
class Report:
    """``spans``: when requests began and ended, by the clock that all processes of a machine share."""

    tokens: int = 0
    requests: int = 0
    refused: int = 0
    refills: int = 0
    spans: list[tuple[float, float]] = field(default_factory=list)


class Replica:
    """Its name is also its journal's."""

    def __init__(self, database: Database, folder: Path, name: str, load: Load) -> None:
        self._name, self._load = name, load
        self._journal = JournalWriter(folder, name, lambda: datetime.now(UTC))
        self._allowance = Allowance()
        self._books = Bookkeeper(Ledger(database, folder, name, time.time), self._allowance, time.time)
        self._scoped = [ScopedLimits(Scope(ScopeKind.TENANT, "acme"), LimitSet.model_validate(load.limits))]
        self._random = random.Random(f"{name} {load.seed}")  # noqa: S311
        self._report = Report()
        self._last = time.monotonic()

    async def run(self) -> Report:
        ticking = asyncio.create_task(self._books.run())
        await asyncio.gather(*(self._ask() for _ in range(self._load.num_tasks)))
        ticking.cancel()
        await asyncio.wait({ticking})
        await self._books.close()
        self._journal.close()
        return self._report

    async def _ask(self) -> None:
        while time.monotonic() - self._last < self._load.give_up_s:
            try:
                await self._request(self._random.randint(1, LARGEST))
            except QuotaExceededError as error:
                self._report.refused += 1
                await asyncio.sleep(min(error.retry_after_s, 0.1) * self._random.uniform(0.5, 1.5))

    async def _request(self, asked: int) -> None:
        reservation = await admit(self._allowance, self._scoped, Amounts(tokens=asked), time.time, self._refill)
        begun = self._last = time.monotonic()
        await asyncio.sleep(self._load.request_s)
        self._report.spans.append((begun, time.monotonic()))
        used = self._random.randint(1, asked)
        reservation.settle(Amounts(tokens=used))
        charges = tuple(Charge(*counter) for counter in reservation.charges)
        self._journal.append(self._record(used, charges))
        self._report.tokens += used
        self._report.requests += 1

    async def _refill(self) -> None:
        self._report.refills += 1
        await self._books.refill()

    def _record(self, used: int, charges: tuple[Charge, ...]) -> RequestRecord:
        return RequestRecord(
            id=f"{self._name}-{self._report.requests}",
            time=datetime.now(UTC),
            replica=self._name,
            protocol="openai",
            operation="generate",
            tenant="acme",
            outcome=Outcome.OK,
            status=200,
            total_ms=1000 * self._load.request_s,
            model="smol",
            version="1",
            input_tokens=used,
            charges=charges,
        )


def main() -> None:
    url, folder, name, load = sys.argv[1:]
    with Database.open(url) as database:
        print("ready", flush=True)  # noqa: T201
        sys.stdin.readline()
        report = asyncio.run(Replica(database, Path(folder), name, Load(**json.loads(load))).run())
    print(json.dumps(asdict(report)))  # noqa: T201


if __name__ == "__main__":
    main()
