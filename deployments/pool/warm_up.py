"""Which models a replica of a pool loads and closes again before it answers requests."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from models.manifest import Manifest
from models.memory.plan import MemoryPlan
from models.selection import is_config_file, tokenizer_of
from models.types import VersionId


@dataclass(frozen=True, slots=True)
class WarmUp:
    """``kinds`` has one model of each engine and architecture: it imports the code of its kind.

    ``variants`` has one of all those with the same configuration and tokenizer, which a process keeps. Only those
    whose weights are on the node are worth it: the others would have to be fetched, and may never be asked for.
    """

    kinds: tuple[VersionId, ...]
    variants: tuple[VersionId, ...]


def plan_warm_up(manifests: Sequence[Manifest], plans: Sequence[MemoryPlan]) -> WarmUp:
    """The smallest model each time; ``plans`` in the order of ``manifests``."""
    known = list(zip(manifests, plans, strict=True))
    return WarmUp(kinds=_smallest_of_each(known, _kind), variants=_smallest_of_each(known, _variant))


def _smallest_of_each(
    known: Sequence[tuple[Manifest, MemoryPlan]], key: Callable[[Manifest, MemoryPlan], Hashable]
) -> tuple[VersionId, ...]:
    smallest: dict[Hashable, MemoryPlan] = {}
    for manifest, plan in known:
        found = smallest.setdefault(key(manifest, plan), plan)
        if plan.total_bytes < found.total_bytes:
            smallest[key(manifest, plan)] = plan
    return tuple(plan.id for plan in smallest.values())


def _kind(manifest: Manifest, plan: MemoryPlan) -> Hashable:
    return plan.engine, manifest.architecture.model_type if manifest.architecture else None


def _variant(manifest: Manifest, plan: MemoryPlan) -> Hashable:
    config = frozenset(entry.sha256 for entry in manifest.files if is_config_file(entry.path))
    return _kind(manifest, plan), config, tokenizer_of(manifest)
