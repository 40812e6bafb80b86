"""Accounts of scaling for operators, from what Serve's controller has written down. No Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from deployments.dataplane.call import Call
from deployments.dataplane.catalog import Catalog
from deployments.repository.guard import check_operator, find
from deployments.routing.states import ModelState
from deployments.scaling.account import Replicas, ScalingAccount, give_account
from deployments.scaling.decision import Decision
from deployments.scaling.history import Change, Kept, Latest
from deployments.scaling.memory import Memory
from deployments.scaling.settings import ScalingSettings
from models.errors import ModelNotFoundError, ModelUnavailableError

Read = Callable[[str], tuple[bytes | None, bytes | None]]


@dataclass(frozen=True, slots=True)
class _Latest:
    """As ``dump_latest`` writes it."""

    release: int
    at: float
    settings: ScalingSettings
    cold_start_s: float
    memory: Memory
    expected: int | None
    active_at: float | None
    starts_s: tuple[float, ...]
    decision: Decision | None
    failure: str | None


@dataclass(frozen=True, slots=True)
class _Changes:
    """As ``dump_changes`` writes it."""

    release: int
    changes: tuple[Change, ...] = field(default=())


_LATEST = TypeAdapter(_Latest)
_CHANGES = TypeAdapter(_Changes)


class ScalingAccounts:
    """``read`` gives the latest evaluation and the last changes of an application: blocking, raises anything.

    ``clock`` gives seconds since the epoch.
    """

    def __init__(self, catalog: Catalog, read: Read, clock: Callable[[], float]) -> None:
        self._catalog = catalog
        self._read = read
        self._clock = clock

    async def account(self, model: str, call: Call) -> ScalingAccount:
        """Of ``name@version``, or of a name of which one version is deployed. For operators.

        ModelNotFoundError, InvalidRequestError, PermissionDeniedError; ModelUnavailableError when Ray's store does
        not answer, or speaks of another release.
        """
        call.tally.operation, call.tally.asked = "scaling.explain", model
        check_operator(call.caller)
        async with call.limit():
            state = await self._find(model, call)
            return await asyncio.to_thread(self._account, state)

    async def _find(self, model: str, call: Call) -> ModelState:
        """Looked for once more where it is not there: it may have been deployed just now."""
        try:
            return find(model, self._catalog.live, call.caller)
        except ModelNotFoundError:
            await self._catalog.refresh()
            return find(model, self._catalog.live, call.caller)

    def _account(self, state: ModelState) -> ScalingAccount:
        replicas = _replicas(state)
        if not replicas.is_ours:
            return give_account(replicas, None, (), self._clock())
        try:
            latest, changes = self._read(str(state.id))
        except Exception as error:  # whatever it is
            raise ModelUnavailableError(f"Ray's store does not say what was decided: {error}") from error
        try:
            return give_account(replicas, _latest(latest), _changes(changes), self._clock())
        except ValidationError as error:
            raise ModelUnavailableError(
                f"what was decided about {state.id} was written by another release of Stowage",
                remedy="restart Serve's controller with this one",
            ) from error


def _latest(value: bytes | None) -> Latest | None:
    if value is None:
        return None
    read = _LATEST.validate_json(value)
    kept = Kept(read.memory, read.expected, read.active_at, read.starts_s)
    return Latest(read.at, read.settings, read.cold_start_s, kept, read.decision, read.failure)


def _changes(value: bytes | None) -> tuple[Change, ...]:
    return _CHANGES.validate_json(value).changes if value is not None else ()


def _replicas(state: ModelState) -> Replicas:
    found = state.range
    return Replicas(
        id=str(state.id),
        status=state.status,
        reason=state.reason,
        ready=state.num_replicas,
        target=state.target_num_replicas,
        low=found.low if found else None,
        high=found.high if found else None,
        policy=found.policy if found else None,
        is_ours=found is not None and found.is_ours,
        pool=state.pool,
        num_ranks=state.card.num_ranks if state.card else 1,
    )
