"""Loading, unloading and changing models while the cluster runs, without the file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pydantic import JsonValue

from deployments.dataplane.call import Call
from deployments.dataplane.catalog import Catalog
from deployments.dataplane.traffic import Traffic
from deployments.identity.caller import Caller
from deployments.repository.guard import check_operator, check_same, check_unneeded, check_version, find
from deployments.repository.orders import Change, Deployed, LoadOrder
from deployments.repository.seams import Chronicle, Cluster
from deployments.repository.turns import Turns
from deployments.routing.choice import unavailable
from deployments.routing.live_versions import LiveVersions
from deployments.routing.run_time import RunTimeNote, Stamp
from deployments.routing.states import ModelState
from models.errors import ConflictError, ModelNotFoundError, ModelUnavailableError
from models.types import VersionId

_ANONYMOUS = "anonymous"
_POLL_S = 0.5
_RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class Listed:
    """A version that is deployed, and the application that serves it; None while that is being removed."""

    state: ModelState
    deployed: Deployed | None


class Repository:
    """One for each router replica. ``clock`` gives seconds since the epoch; within ``settle_s`` every other
    replica has looked at what is live.

    What one replica does is done in its turn, and the cluster takes the replicas' changes one after the other;
    what is done twice changes nothing the second time. Every method raises PermissionDeniedError,
    ModelUnavailableError when Serve cannot be asked, and DeadlineExceededError; what has begun by then goes on.
    """

    def __init__(
        self,
        cluster: Cluster,
        catalog: Catalog,
        traffic: Traffic,
        chronicle: Chronicle,
        clock: Callable[[], float],
        settle_s: float = 0.0,
    ) -> None:
        self._cluster = cluster
        self._catalog = catalog
        self._traffic = traffic
        self._chronicle = chronicle
        self._clock = clock
        self._settle_s = settle_s
        self._turns = Turns()

    async def index(self, call: Call) -> list[Listed]:
        """Every deployed version that the caller may use, sorted by id."""
        call.tally.operation = "repository.index"
        check_operator(call.caller)
        async with call.limit():
            there, _ = await self._look()
        may_use = call.caller.may_use
        states = (state for state in self._catalog.states if may_use((state.id.name, str(state.id))))
        return [Listed(state, there.get(_application(state))) for state in states]

    async def load(self, order: LoadOrder, call: Call, *, wait: bool = True) -> Listed:
        """Deploy a version that is in the store, and return when every router has it ready; without ``wait``, when
        it starts.

        One that is there already stays as it is. VersionNotFoundError, StoreError, InvalidRequestError,
        ConfigError, DoesNotFitError; ConflictError when it is there in another way; ModelUnavailableError, with
        the reason, when it is deployed and does not become ready.
        """
        call.tally.operation, call.tally.asked = "repository.load", order.model
        check_operator(call.caller)
        async with call.limit():
            version, deployed = await self._turns.take(self._load(order, call.caller))
            if not wait:
                return Listed(await self._state(version), deployed)
            return Listed(await self._until_ready(version), deployed)

    async def unload(self, model: str, call: Call, *, force: bool = False) -> tuple[VersionId, Deployed]:
        """Take a version away, and return when the last of its requests has been answered and every router knows.

        Gives what it was. ``model`` as in ``change``. ModelNotFoundError; ConflictError for a version in a pool,
        and, without ``force``, for one that is needed.
        """
        call.tally.operation, call.tally.asked = "repository.unload", model
        check_operator(call.caller)
        async with call.limit():
            version, deployed = await self._turns.take(self._unload(model, call.caller, force=force))
            while self._catalog.live.get(version) is not None:
                await asyncio.sleep(_POLL_S)
                await self._catalog.refresh()
            await asyncio.sleep(self._settle_s)
        return version, deployed

    async def change(self, model: str, change: Change, call: Call) -> Listed:
        """Another number of replicas, or another pin; replicas that run stay. Returns before they are all there.

        ``model`` is ``name@version``, or a name of which one version is deployed. ModelNotFoundError,
        InvalidRequestError, ConfigError, DoesNotFitError; ConflictError for what cannot be changed while it runs.
        """
        call.tally.operation, call.tally.asked = "repository.change", model
        check_operator(call.caller)
        async with call.limit():
            version, deployed = await self._turns.take(self._change(model, change, call.caller))
            return Listed(await self._state(version), deployed)

    async def _load(self, order: LoadOrder, caller: Caller) -> tuple[VersionId, Deployed]:
        there, live = await self._look()
        written = await self._cluster.write(order, there)
        version = VersionId.parse(str(written["name"]))
        check_version(caller, version)
        if (deployed := there.get(str(version))) is not None:
            check_same(version, deployed, order.args)
            return version, deployed
        if (state := live.get(version)) is not None:
            raise _in_the_way(state)
        args = Deployed(written).args
        note = RunTimeNote(written, args, loaded=self._stamp(caller))
        async with self._noted(caller, "model.load", version, {"application": dict(written)}):
            await self._cluster.deploy(note)
        return version, Deployed(written, note)

    async def _unload(self, model: str, caller: Caller, *, force: bool) -> tuple[VersionId, Deployed]:
        there, live = await self._look()
        state = find(model, live, caller)
        version, deployed = state.id, there.get(str(state.id))
        if deployed is None:
            raise _in_the_way(state)
        if not force:
            check_unneeded(version, deployed, live, self._traffic.policy, self._rollout_targets())
        application: JsonValue = {**deployed.written, "args": dict(deployed.args)}
        async with self._noted(caller, "model.unload", version, {"application": application, "force": force}):
            await self._cluster.remove(str(version))
        await self._catalog.refresh()
        return version, deployed

    async def _change(self, model: str, change: Change, caller: Caller) -> tuple[VersionId, Deployed]:
        there, live = await self._look()
        state = find(model, live, caller)
        deployed = there.get(_application(state))
        if deployed is None:
            raise _in_the_way(state)
        args = self._cluster.change(deployed, state.id, change)
        if args == deployed.args:
            if deployed.note is not None:
                await self._cluster.detach(deployed.note)
            return state.id, deployed
        loaded = deployed.note.loaded if deployed.note else None
        note = RunTimeNote(deployed.written, args, loaded, changed=self._stamp(caller))
        async with self._noted(caller, "model.change", state.id, {"changes": list(note.differences())}):
            await self._cluster.deploy(note)
        return state.id, Deployed(deployed.written, note)

    async def _look(self) -> tuple[Mapping[str, Deployed], LiveVersions]:
        """The applications, and what was live just before."""
        await self._catalog.refresh()
        live = self._catalog.live
        return await self._cluster.applications(), live

    async def _state(self, version: VersionId) -> ModelState:
        await self._catalog.refresh()
        state = self._catalog.live.get(version)
        if state is None:
            raise ModelNotFoundError(f"model {str(version)!r} is not deployed")
        return state

    async def _until_ready(self, version: VersionId) -> ModelState:
        while True:
            state = await self._state(version)
            if state.ready:
                await asyncio.sleep(self._settle_s)
                return state
            if state.status != "starting":
                raise unavailable(state)
            await asyncio.sleep(_POLL_S)

    def _rollout_targets(self) -> Iterable[VersionId]:
        return (version for weights in self._traffic.rollouts.values() for version in weights)

    def _stamp(self, caller: Caller) -> Stamp:
        return Stamp(caller.owner or caller.key or _ANONYMOUS, self._clock())

    @asynccontextmanager
    async def _noted(
        self, caller: Caller, action: str, version: VersionId, details: Mapping[str, JsonValue]
    ) -> AsyncIterator[None]:
        """Write down what the body did; also when it is not known how far it came."""
        actor = caller.key or _ANONYMOUS
        try:
            yield
        except ModelUnavailableError as error:
            await self._chronicle.note(actor, action, str(version), {**details, "error": str(error)})
            raise
        await self._chronicle.note(actor, action, str(version), details)


def _application(state: ModelState) -> str:
    return state.pool or str(state.id)


def _in_the_way(state: ModelState) -> ConflictError | ModelUnavailableError:
    """Of a version that is there, and has no application of its own that stays."""
    if state.pool is not None:
        return ConflictError(f"{state.id} is served by {state.pool}", remedy="change the pool in the file")
    return ModelUnavailableError(f"{state.id} is being removed", retry_after_s=_RETRY_S)
