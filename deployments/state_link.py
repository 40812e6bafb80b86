"""A router replica's link to the state database: opened when it can be, followed once per second."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from deployments.audit.writer import JournalWriter
from deployments.limits.allowance import Allowance
from deployments.routing.rollout import Rollout, active_weights
from deployments.routing.table import Weights
from deployments.state.admin_events import claim_all
from deployments.state.bookkeeper import Bookkeeper, Outage
from deployments.state.database import Database
from deployments.state.keyring import Keyring
from deployments.state.keys import read_keys
from deployments.state.ledger import Ledger
from deployments.state.rollouts import Rollouts
from models.errors import StateError, StateUnavailableError
from models.types import VersionId

logger = logging.getLogger("ray.serve")

_PERIOD_S = 1.0


@dataclass(frozen=True, slots=True)
class Identity:
    """A router replica: its name, in leases and in its journal, whose folder this is; seconds since the epoch."""

    replica: str
    folder: Path
    clock: Callable[[], float]


class Follower(Protocol):
    """Who goes by what the database says."""

    def set_keys(self, keyring: Keyring) -> None:
        """The keys, when they are known, and whenever they change."""

    def set_rollouts(self, weights: Mapping[str, Weights]) -> None:
        """Where requests go, by route, as far as rollouts have their say."""

    def is_up(self, version: VersionId) -> bool:
        """Whether the version can take all requests: a rollout may go back to it."""


class StateLink:
    """``open_database`` is called in a thread until it succeeds; ``database`` is None until then.

    ``tried`` is set when it has succeeded or failed for the first time. ``rollouts`` are those in force when they
    were last read.
    """

    def __init__(
        self,
        open_database: Callable[[], Database],
        me: Identity,
        journal: JournalWriter,
        allowance: Allowance,
        follower: Follower,
    ) -> None:
        self._open_database = open_database
        self._me = me
        self._journal = journal
        self._allowance = allowance
        self._follower = follower
        self._bookkeeper: Bookkeeper | None = None
        self.database: Database | None = None
        self.tried = asyncio.Event()
        self.rollouts: Sequence[Rollout] = ()
        self._seen: Mapping[str, int] | None = None
        self._not_open: Outage | None = None
        allowance.outage = "the state database has not been opened yet"

    @property
    def outage(self) -> Outage | None:
        """Since when the database does not answer, and why; None while it does."""
        return self._bookkeeper.outage if self._bookkeeper else self._not_open

    async def refill(self) -> None:
        """As Bookkeeper has it; nothing before the database has been opened."""
        if self._bookkeeper is not None:
            await self._bookkeeper.refill()

    async def run(self) -> None:
        """Until cancelled: keep the journal in order, count what is used, and follow what changes."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_keep_on(self._tend_journal))
            self.database = database = await self._open()
            ledger = Ledger(database, self._me.folder, self._me.replica, self._me.clock)
            self._bookkeeper = Bookkeeper(ledger, self._allowance, self._me.clock, _PERIOD_S)
            tasks.create_task(_keep_on(self._bookkeeper.run))
            tasks.create_task(_keep_on(partial(self._watch, database, self._bookkeeper)))
            tasks.create_task(_keep_on(partial(self._roll_out, Rollouts(database, self._me.clock))))

    async def close(self) -> None:
        """Count what is left, give the leases back. When no request is under way any more."""
        if self._bookkeeper is not None:
            await self._bookkeeper.close()
        await asyncio.to_thread(self._journal.close)

    async def _open(self) -> Database:
        """The database, with its keys read."""
        while True:
            try:
                return await self._open_now()
            except StateError as error:
                self._fail(error)
            finally:
                self.tried.set()
            await asyncio.sleep(_PERIOD_S)

    async def _open_now(self) -> Database:
        database = await asyncio.to_thread(self._open_database)
        try:
            rollouts = Rollouts(database, self._me.clock)
            self._follow(await asyncio.to_thread(rollouts.in_force))  # before keys let requests in
            await self._read(database)
        except BaseException:
            await asyncio.to_thread(database.close)
            raise
        self._allowance.outage = self._not_open = None
        return database

    async def _tend_journal(self) -> None:
        while True:
            await asyncio.to_thread(self._journal.tick)
            await asyncio.sleep(_PERIOD_S)

    async def _watch(self, database: Database, bookkeeper: Bookkeeper) -> None:
        while True:
            await asyncio.sleep(_PERIOD_S)
            revisions = bookkeeper.revisions
            if revisions == self._seen:
                continue
            try:
                await self._read(database)
                if await asyncio.to_thread(self._export, database):
                    self._seen = revisions
            except StateError as error:
                logger.warning("What changed in the state database is read later: %s", error)

    async def _roll_out(self, rollouts: Rollouts) -> None:
        """While the database is away the last weights stay."""
        while True:
            try:
                self._follow(await asyncio.to_thread(rollouts.tick, self._follower.is_up))
            except StateError as error:
                logger.warning("Rollouts stand still: %s", error)
            await asyncio.sleep(_PERIOD_S)

    def _follow(self, rollouts: Sequence[Rollout]) -> None:
        self.rollouts = rollouts
        self._follower.set_rollouts(active_weights(rollouts))

    async def _read(self, database: Database) -> None:
        self._follower.set_keys(await asyncio.to_thread(_read_keyring, database))

    def _export(self, database: Database) -> bool:
        """Administrators' changes go into the journal. False while it is in trouble: they wait."""
        if self._journal.trouble is not None:
            return False
        with database.transaction() as connection:
            for event in claim_all(connection, self._me.clock()):
                if trouble := self._journal.append(event):
                    raise StateUnavailableError(f"the audit journal cannot be written: {trouble.reason}")
        return True

    def _fail(self, error: StateError) -> None:
        if self._not_open is None:
            logger.error("The state database cannot be opened; trying on: %s", error)
            self._not_open = Outage(self._me.clock(), str(error), 0)
        self._allowance.outage = str(error)


def _read_keyring(database: Database) -> Keyring:
    with database.read() as connection:
        return Keyring(read_keys(connection))


async def _keep_on(work: Callable[[], Awaitable[None]]) -> None:
    """A defect in one part of the books is told, and stops neither that part for long nor the others."""
    while True:
        try:
            await work()
        except Exception:
            logger.exception("A part of the router's books failed; it goes on in a second.")
            await asyncio.sleep(_PERIOD_S)
