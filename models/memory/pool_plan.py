"""How many bytes a pool's process has for models, and how many each of them takes. Pure."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

from models.errors import ConfigError, DoesNotFitError
from models.manifest import Manifest
from models.memory.plan import MemoryPlan, format_bytes
from models.types import VersionId

_RUNTIME = "runtime"


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """One replica: ``budget_bytes`` for the process, of which ``runtime_bytes`` are there before any model."""

    budget_bytes: int
    runtime_bytes: int
    models: tuple[MemoryPlan, ...]
    pinned: frozenset[VersionId]

    @property
    def room_bytes(self) -> int:
        """What models may take together."""
        return self.budget_bytes - self.runtime_bytes

    @property
    def sizes(self) -> dict[VersionId, int]:
        """What each model adds to the process."""
        return {plan.id: own_bytes(plan) for plan in self.models}


def plan_pool(plans: Sequence[MemoryPlan], pinned: Set[VersionId], budget_bytes: int) -> PoolPlan:
    """The plan of a replica that may host all of ``plans``, as many at once as its budget holds.

    The runtime counts once for the engines on torch, as that of the larger, and once for ONNX Runtime: that is too
    much by Python and Ray, which they share too.
    DoesNotFitError when the pinned models, or they and one other, exceed the budget.
    """
    pool = PoolPlan(budget_bytes, _runtime_bytes(plans), tuple(plans), frozenset(pinned))
    pinned_bytes = sum(size for version, size in pool.sizes.items() if version in pinned)
    _check(pool, pinned_bytes, f"{len(pinned)} pinned models", "pin fewer models")
    others = {version: size for version, size in pool.sizes.items() if version not in pinned}
    if others:
        largest = max(others, key=lambda version: others[version])
        label = f"{largest} of {format_bytes(others[largest])}"
        if pinned:
            label += f" beside {len(pinned)} pinned models of {format_bytes(pinned_bytes)}"
        _check(pool, pinned_bytes + others[largest], label, f"lower the limits of {largest}")
    return pool


def check_poolable(manifest: Manifest, plan: MemoryPlan) -> None:
    """ConfigError for weights on torch that are not float32.

    While transformers builds a model of another dtype, that is the default dtype of the whole process, and so of
    the models that answer meanwhile.
    """
    if plan.engine != "onnx" and manifest.dtype != "float32":
        raise ConfigError(
            f"{manifest.id} has weights of dtype {manifest.dtype}: loading it would change the default dtype of "
            "all models in the pool's process",
            remedy="import it with dtype: float32, or give it an application of its own",
        )


def own_bytes(plan: MemoryPlan) -> int:
    """What a model adds to a process that runs its engine already."""
    return sum(term.bytes for term in plan.terms if term.name != _RUNTIME)


def _runtime_bytes(plans: Sequence[MemoryPlan]) -> int:
    runtimes = {plan.engine: plan.term(_RUNTIME).bytes for plan in plans}
    onnx_bytes = runtimes.pop("onnx", 0)
    return onnx_bytes + max(runtimes.values(), default=0)


def _check(pool: PoolPlan, needed_bytes: int, label: str, change: str) -> None:
    if needed_bytes > pool.room_bytes:
        raise DoesNotFitError(
            f"{label} need {format_bytes(needed_bytes)}, but the pool's budget of "
            f"{format_bytes(pool.budget_bytes)} leaves {format_bytes(max(0, pool.room_bytes))} beside the runtime "
            f"of {format_bytes(pool.runtime_bytes)}",
            remedy=f"set memory to {format_bytes(needed_bytes + pool.runtime_bytes)} or more, or {change}",
        )
