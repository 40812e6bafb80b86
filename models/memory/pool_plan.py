"""How many bytes a pool's process has for models, and how many each of them takes. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence, Set
from dataclasses import dataclass

from models.errors import ConfigError, DoesNotFitError
from models.manifest import Manifest
from models.memory.measured import Planned
from models.memory.plan import MemoryPlan, format_bytes
from models.memory.terms import MemoryTerm
from models.selection import tokenizer_of
from models.types import VersionId

_RUNTIME = "runtime"
_TOKENIZER = "tokenizer"
_MAPPED = "weights"
_COPIED = "copied_weights"
# Importing onnxruntime took 18 MiB in a process with Ray, torch and transformers; the rest is for its sessions.
_ONNX_BESIDE_TORCH_BYTES = 24 * 1024**2
_SUM = "the process, and what the loaded models add"


@dataclass(frozen=True, slots=True)
class PoolPlan:
    """One replica: ``budget_bytes`` for the process, of which some are never a model's.

    ``runtime_bytes`` are there before any model; ``tokenizer_bytes`` are those of all its models, which stay: each
    is parsed once, for that holds up the whole process.
    """

    budget_bytes: int
    runtime_bytes: int
    tokenizer_bytes: int
    models: tuple[MemoryPlan, ...]
    pinned: frozenset[VersionId]

    @property
    def room_bytes(self) -> int:
        """What models may take together."""
        return self.budget_bytes - self.runtime_bytes - self.tokenizer_bytes

    @property
    def sizes(self) -> dict[VersionId, int]:
        """What each model adds to the process."""
        return {plan.id: own_bytes(plan) for plan in self.models}

    @property
    def mapped_sizes(self) -> dict[VersionId, int]:
        """The planned bytes of the mapped weights of each model that has any."""
        return {plan.id: plan.shared_bytes for plan in self.models if plan.shared_bytes}

    def planned(self, owner: str, held: Collection[VersionId]) -> Planned:
        """What the process is planned at while it has the models ``held``: each term summed over them."""
        sizes = {_RUNTIME: self.runtime_bytes, _TOKENIZER: self.tokenizer_bytes}
        mapped = set()
        for plan in self.models:
            for name, term in _own_terms(plan):
                sizes[name] = sizes.get(name, 0) + term.bytes * (plan.id in held)
                if term.shared:
                    mapped.add(name)
        terms = tuple(MemoryTerm(name, size, _SUM, name in mapped) for name, size in sizes.items())
        return Planned(owner, terms, self.budget_bytes)


def plan_pool(
    manifests: Sequence[Manifest], plans: Sequence[MemoryPlan], pinned: Set[VersionId], budget_bytes: int
) -> PoolPlan:
    """The plan of a replica that may host all of ``plans``, as many at once as its budget holds.

    ``plans`` are those of ``manifests``, in their order. The runtime counts once: that of the larger engine on
    torch, and what ONNX Runtime adds to it.
    ConfigError for a model that no pool takes; DoesNotFitError when the pinned models, or they and one other,
    exceed the budget.
    """
    for each in zip(manifests, plans, strict=True):
        check_poolable(*each)
    tokenizers = _tokenizer_bytes(manifests, plans)
    pool = PoolPlan(budget_bytes, _runtime_bytes(plans), tokenizers, tuple(plans), frozenset(pinned))
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
    """What a model adds to a process that runs its engine already and keeps its tokenizer."""
    return sum(term.bytes for _, term in _own_terms(plan))


def _own_terms(plan: MemoryPlan) -> Iterator[tuple[str, MemoryTerm]]:
    """With the name that each has in the plan of a pool: weights that an engine copies are no mapped ones."""
    for term in plan.terms:
        if term.name not in {_RUNTIME, _TOKENIZER}:
            yield (_COPIED if term.name == _MAPPED and not term.shared else term.name), term


def _runtime_bytes(plans: Sequence[MemoryPlan]) -> int:
    runtimes = {plan.engine: plan.term(_RUNTIME).bytes for plan in plans}
    onnx_bytes = runtimes.pop("onnx", 0)
    if not runtimes:
        return onnx_bytes
    return max(runtimes.values()) + min(onnx_bytes, _ONNX_BESIDE_TORCH_BYTES)


def _tokenizer_bytes(manifests: Sequence[Manifest], plans: Sequence[MemoryPlan]) -> int:
    """Each distinct one once; engines that generate keep their own, which knows chat templates too."""
    sizes = {
        (tokenizer_of(manifest), plan.engine == "transformers"): term.bytes
        for manifest, plan in zip(manifests, plans, strict=True)
        for term in plan.terms
        if term.name == _TOKENIZER
    }
    return sum(sizes.values())


def _check(pool: PoolPlan, needed_bytes: int, label: str, change: str) -> None:
    if needed_bytes > pool.room_bytes:
        raise DoesNotFitError(
            f"{label} need {format_bytes(needed_bytes)}, but the pool's budget of "
            f"{format_bytes(pool.budget_bytes)} leaves {format_bytes(max(0, pool.room_bytes))} beside the runtime "
            f"of {format_bytes(pool.runtime_bytes)} and tokenizers of {format_bytes(pool.tokenizer_bytes)}",
            remedy=f"set memory to {format_bytes(pool.budget_bytes - pool.room_bytes + needed_bytes)} or more, "
            f"or {change}",
        )
