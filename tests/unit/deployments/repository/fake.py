"""A cluster that deploys at once, for a repository that is real."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from random import SystemRandom

from pydantic import JsonValue

from deployments.api.app import Operators
from deployments.dataplane.catalog import Catalog
from deployments.dataplane.traffic import Traffic
from deployments.repository.accounts import ScalingAccounts
from deployments.repository.orders import Change, Deployed, LoadOrder
from deployments.repository.service import Repository
from deployments.routing.run_time import RunTimeNote
from models.errors import DoesNotFitError, VersionNotFoundError
from models.types import VersionId
from tests.unit.deployments.live_models import Cluster, state

NOW = 1000.0


def written(version: str, **args: JsonValue) -> dict[str, JsonValue]:
    name, _, number = version.partition("@")
    return {
        "name": version,
        "import_path": "deployments.app:build_model",
        "args": {"model": name, "version": number, **args},
    }


@dataclass
class FakeCluster:
    """What is deployed, and what the store has. ``becomes``: the status of what is deployed."""

    live: Cluster = field(default_factory=Cluster)
    there: dict[str, Deployed] = field(default_factory=dict)
    stored: tuple[str, ...] = ("m@1", "m@2", "other@1")
    becomes: str = "ready"
    room: int = 4
    num_deployed: int = 0
    detached: list[str] = field(default_factory=list)
    slow: asyncio.Event | None = None
    error: Exception | None = None
    hangs: bool = False

    def add(self, version: str, note: RunTimeNote | None = None) -> None:
        """As the file does."""
        self.there[version] = Deployed(note.written if note else written(version), note)
        others = tuple(each for each in self.live.states if str(each.id) != version)
        self.live.states = (*others, state(version, self.becomes, None if self.becomes == "ready" else "no luck"))

    async def applications(self) -> Mapping[str, Deployed]:
        if self.hangs:
            await asyncio.Event().wait()
        return dict(self.there)

    async def write(self, order: LoadOrder, there: Mapping[str, Deployed]) -> Mapping[str, JsonValue]:
        named = [each for each in self.stored if each.partition("@")[0] == order.model]
        version = f"{order.model}@{order.version}" if order.version else max(named, default="")
        if version not in self.stored:
            raise VersionNotFoundError(f"{order.model}@{order.version} is not in the store")
        return written(version, **order.args)

    def change(self, deployed: Deployed, version: VersionId, change: Change) -> Mapping[str, JsonValue]:
        asked = {"min_replicas": change.min_replicas, "max_replicas": change.max_replicas}
        return {**deployed.args, **{name: value for name, value in asked.items() if value is not None}}

    async def deploy(self, note: RunTimeNote) -> None:
        if len(self.there) >= self.room:
            raise DoesNotFitError("it needs 6.1 GiB; a node has 4.0 GiB", remedy="unload another")
        if self.slow is not None:
            await self.slow.wait()
        self.num_deployed += 1
        self.add(str(note.written["name"]), note)
        if self.error is not None:
            raise self.error

    async def detach(self, note: RunTimeNote) -> None:
        self.detached.append(str(note.written["name"]))

    async def remove(self, application: str) -> None:
        del self.there[application]
        self.live.states = tuple(each for each in self.live.states if str(each.id) != application)

    def put_into_pool(self, version: str) -> None:
        self.live.states = (*self.live.states, replace(state(version), pool="pool-small"))


@dataclass
class FakeChronicle:
    events: list[tuple[str, str, str]] = field(default_factory=list)

    async def note(self, actor: str, action: str, subject: str, details: Mapping[str, JsonValue]) -> None:
        self.events.append((actor, action, subject))


@dataclass
class Rig:
    """A repository and what it stands on."""

    cluster: FakeCluster = field(default_factory=FakeCluster)
    chronicle: FakeChronicle = field(default_factory=FakeChronicle)
    traffic: Traffic = field(default_factory=lambda: Traffic(lambda: 0.0, SystemRandom()))

    def __post_init__(self) -> None:
        catalog = Catalog(self.cluster.live.fetch, 1.0)
        self.repository = Repository(self.cluster, catalog, self.traffic, self.chronicle, lambda: NOW)
        self.decided: dict[str, tuple[bytes | None, bytes | None]] = {}
        accounts = ScalingAccounts(catalog, lambda name: self.decided.get(name, (None, None)), lambda: NOW)
        self.operators = Operators(self.repository, accounts)
