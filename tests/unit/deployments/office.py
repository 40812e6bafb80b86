"""The books of a router replica, with a journal on disk and a state database in a dictionary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from deployments.args import KeyPolicy
from deployments.audit.reader import Cursor, read_chunk
from deployments.audit.record import Outcome, RequestRecord
from deployments.audit.segments import list_segments
from deployments.audit.writer import JournalWriter
from deployments.books import Books, Limiter
from deployments.dataplane.build import Seams, build_dataplane
from deployments.dataplane.call import Call
from deployments.dataplane.catalog import Catalog
from deployments.dataplane.door import Arrival, Ending
from deployments.dataplane.operations import DataPlane
from deployments.dataplane.traffic import Traffic
from deployments.limits.allowance import Allowance
from deployments.limits.amounts import Unit
from deployments.limits.limit_set import Counter
from deployments.routing.policy import RouterPolicy
from deployments.state.api_key import ApiKey, KeyGrant, digest_text, make_text
from deployments.state.keyring import Keyring
from tests.unit.deployments.limits.state import Book
from tests.unit.deployments.live_models import Cluster, Replicas, state
from tests.unit.deployments.planes import LONG_S, waiting_up_to

NOW = 1_800_000_000.0
PREFIX = "ab12cd34"
TEXT = make_text(PREFIX)
LIMITS = {
    "requests_per_minute": 10,
    "tokens_per_minute": 1000,
    "tokens_per_day": 5000,
    "cost_per_day": "1",
    "concurrent_requests": 2,
}
ONE_PER_MINUTE = {"tenants": {"default": {"limits": {"requests_per_minute": 1}}}}


def keyring(**grant: object) -> Keyring:
    """With one key, whose text is TEXT."""
    wanted = KeyGrant.model_validate({"owner": "ann", "tenant": "acme", "limits": LIMITS, **grant})
    return Keyring([ApiKey(PREFIX, digest_text(TEXT), wanted, created_at=NOW)])


@dataclass
class Office:
    """Books with a journal on disk and a state database in a dictionary."""

    books: Books
    allowance: Allowance
    database: Book
    folder: Path
    replicas: Replicas

    def records(self) -> list[RequestRecord]:
        chunks = [read_chunk(self.folder, Cursor(each.file), 2**20) for each in list_segments(self.folder)]
        return [record for chunk in chunks for record in chunk.records if isinstance(record, RequestRecord)]

    def enter(self, key: str | None = TEXT) -> Call:
        return self.books.enter(Arrival("r", "openai", "/v1/completions", LONG_S, key))

    def leave(self, call: Call, outcome: Outcome = Outcome.OK) -> RequestRecord:
        self.books.leave(call, Ending(200, outcome))
        return self.records()[-1]

    def reserved(self, unit: Unit) -> int:
        return max(lease.reserved for lease in self.allowance._leases.values() if lease.unit is unit)

    def settled(self) -> dict[Counter, int]:
        """What finished requests used, and the database does not count yet."""
        return {counter: lease.unbooked for counter, lease in self.allowance._leases.items() if lease.unbooked}

    async def plane(self, policy: dict[str, object] | None = None) -> DataPlane:
        """One that keeps these books."""
        catalog = Catalog(Cluster((state("m@1"), state("m@2"), state("spare@1"))).fetch, LONG_S)
        await catalog.refresh()
        traffic = Traffic(asyncio.get_running_loop().time, Random(1))  # noqa: S311
        traffic.set_policy(RouterPolicy.model_validate(policy or {"routes": {"m": {"version": "1"}}}))
        seams = Seams(self.replicas, self.replicas, self.books, self.books)
        return build_dataplane(catalog, seams, traffic, waiting_up_to())


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Office]]:
    opened: list[JournalWriter] = []

    def make_office(keys: KeyPolicy = "auto", known: Keyring | None = None, **policy: object) -> Office:
        journal = JournalWriter(tmp_path, "r1", lambda: datetime.fromtimestamp(NOW, UTC))
        opened.append(journal)
        allowance, database = Allowance(), Book()

        async def refill() -> None:
            database.tick("r1", allowance, NOW)

        books = Books("r1", keys, journal, Limiter(allowance, refill, lambda: None), lambda: NOW)
        books.set_policy(RouterPolicy.model_validate(policy))
        if known is not None:
            books.set_keys(known)
        return Office(books, allowance, database, tmp_path, Replicas())

    yield make_office
    for journal in opened:
        journal.close()


@pytest.fixture
def office(make: Callable[..., Office]) -> Office:
    """With one key that has limits, and a price."""
    price = {"input": "1", "output": "2", "request": "0.001"}
    return make(known=keyring(), models={"m": {"price": price}})
