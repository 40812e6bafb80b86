"""The ingress: one ASGI application, and one gRPC service, in front of every model."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from random import SystemRandom

from pydantic import JsonValue
from ray import serve
from starlette.applications import Starlette

from deployments.api.app import Operators, build_app
from deployments.api.http.settings import ApiSettings
from deployments.args import RouterArgs
from deployments.audit.location import audit_folder
from deployments.audit.writer import JournalWriter
from deployments.books import Books, Limiter
from deployments.chronicle import JournalledChronicle
from deployments.dataplane.arrivals import Arrivals
from deployments.dataplane.build import Patience, Seams, build_dataplane
from deployments.dataplane.catalog import Catalog
from deployments.dataplane.traffic import Traffic
from deployments.dataplane.waking import WakingLimits
from deployments.demand_report import DemandReport
from deployments.grpc.reception import GrpcSettings
from deployments.grpc.servicer import GrpcService
from deployments.handles import ServeClients
from deployments.limits.allowance import Allowance
from deployments.live import fetch_picture
from deployments.metrics.calls import CallMetrics
from deployments.metrics.router import RouterMetrics, RouterView
from deployments.repository.accounts import ScalingAccounts
from deployments.repository.service import Repository
from deployments.repository_serve import ServeCluster
from deployments.routing.lane import LaneLimits
from deployments.routing.policy import RouterPolicy
from deployments.routing.table import Weights
from deployments.scaling_store import ScalingStore
from deployments.state.database import Database
from deployments.state.keyring import Keyring
from deployments.state.location import state_url
from deployments.state_link import Identity, StateLink
from deployments.waker import ReportingWaker
from models.types import VersionId

logger = logging.getLogger("ray.serve")

# Ray exports gauges for two of its report intervals, which are 10 s long, after they were set.
_REPORT_PERIOD_S = 2.0

# Requests leave next to no cycles behind. With Python's 700, a sixth of them would wait for a collection.
_NUM_OBJECTS_PER_COLLECTION = 10_000

# While a thread keeps the books, a request waits at each step for the interpreter lock: by default 5 ms.
_SWITCH_INTERVAL_S = 0.0005


@serve.ingress()
class Router(GrpcService):
    """Wires catalog, handles, data plane, books and protocols together; decides nothing itself."""

    async def __init__(self, args: RouterArgs) -> None:  # type: ignore[misc]
        self._args = args
        self._calls = CallMetrics()
        self._replica = serve.get_replica_context().replica_id.unique_id
        self._catalog = Catalog(fetch_picture, args.status_period_s)
        self._traffic = Traffic(asyncio.get_running_loop().time, SystemRandom())
        self._open_books()
        clients = ServeClients()
        self._catalog.on_change(lambda: clients.follow(self._catalog.live))
        clock = asyncio.get_running_loop().time
        arrivals = Arrivals(clock)
        self._demand = DemandReport(self._replica, ScalingStore(), arrivals.demand, clock)
        waker = ReportingWaker(clients, self._demand, self._catalog.state)
        self._dataplane = build_dataplane(
            self._catalog,
            Seams(clients, waker, self._books, self._books, self._calls),
            self._traffic,
            Patience(
                WakingLimits(max_waiting=args.max_waking, wait_s=args.wake_wait_s),
                LaneLimits(interactive_wait_s=args.interactive_wait_s),
            ),
            arrivals,
        )
        self._repository = Repository(
            ServeCluster(), self._catalog, self._traffic, self._chronicle, time.time, 2 * args.status_period_s
        )
        super().__init__(self._dataplane, self._books, self._grpc_settings(), self._repository)

    async def __serve_build_asgi_app__(self) -> Starlette:
        gc.set_threshold(_NUM_OBJECTS_PER_COLLECTION)
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        await self._catalog.refresh()
        work = (self._catalog.run(), self._link.run(), self._demand.run(), self._report())
        self._running = [asyncio.create_task(each) for each in work]
        await self._link.tried.wait()  # no request goes by the configuration where a rollout has its say
        return build_app(
            self._dataplane,
            ApiSettings(
                request_timeout_s=self._args.request_timeout_s,
                max_request_timeout_s=self._args.max_request_timeout_s,
                max_body_bytes=self._args.max_body_bytes,
                adds_request_id=False,
                is_cancelled=True,
            ),
            self._books,
            Operators(self._repository, ScalingAccounts(self._catalog, ScalingStore().read, time.time)),
        )

    def reconfigure(self, user_config: dict[str, JsonValue]) -> None:
        """Serve calls this with the config's ``user_config``, at the start and at every change of it."""
        policy = RouterPolicy.model_validate(user_config)
        self._traffic.set_policy(policy)
        self._books.set_policy(policy)

    async def __del__(self) -> None:
        """Serve awaits this when no request is under way any more."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._link.close()

    def _open_books(self) -> None:
        args = self._args
        me = Identity(f"router-{self._replica}", audit_folder(args.audit_dir), time.time)
        journal = JournalWriter(me.folder, me.replica, _now)
        self._allowance = allowance = Allowance(args.on_state_outage)
        self._link = StateLink(self._open_database, me, journal, allowance, self)
        limiter = Limiter(allowance, self._link.refill, lambda: self._link.outage)
        self._chronicle = JournalledChronicle(journal, lambda: self._link.database, time.time)
        self._books = Books(me.replica, args.keys, journal, limiter, time.time, self._calls)

    def _open_database(self) -> Database:
        return Database.open(state_url(self._args.state, os.environ))

    async def _report(self) -> None:
        metrics = RouterMetrics(self._calls)
        while True:
            try:
                await asyncio.to_thread(metrics.report, self._look())
            except Exception:
                logger.exception("The router's metrics could not be reported; trying again.")
            await asyncio.sleep(_REPORT_PERIOD_S)

    def _look(self) -> RouterView:
        traffic = self._traffic
        return RouterView(
            states=self._catalog.states,
            queues=self._dataplane.queues(),
            streams=dict(self._calls.streams),
            breakers=traffic.breakers,
            openings=dict(traffic.breaker_openings),
            retry_budgets=traffic.retry_budgets,
            retries_refused=dict(traffic.retries_refused),
            standings=self._allowance.standings(time.time()),
            condition=self._books.condition(),
            rollouts=self._link.rollouts,
            added=self._calls.counts.take(),
        )

    def set_keys(self, keyring: Keyring) -> None:
        self._books.set_keys(keyring)

    def set_rollouts(self, weights: Mapping[str, Weights]) -> None:
        self._traffic.rollouts = weights

    def is_up(self, version: VersionId) -> bool:
        return self._catalog.live.is_up(version)

    def _grpc_settings(self) -> GrpcSettings:
        args = self._args
        return GrpcSettings(
            request_timeout_s=args.request_timeout_s,
            max_request_timeout_s=args.max_request_timeout_s,
            max_message_bytes=args.max_body_bytes,
            answers_other_machines=self._answers_other_machines,
        )

    def _answers_other_machines(self) -> bool:
        """Over gRPC, which Serve cannot encrypt: when that is wanted, and they have keys or need none."""
        return self._args.allow_unencrypted and self._books.asks_for_keys is (self._args.keys != "off")


def _now() -> datetime:
    return datetime.now(UTC)
