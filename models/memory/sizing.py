"""One replica to be sized: from limits to bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from models.errors import ConfigError
from models.hardware import Device
from models.manifest import Manifest
from models.memory.generation_terms import page_layout
from models.memory.kv_cache import CacheLayout
from models.memory.overheads import Overhead, Overheads
from models.memory.process import Process, rank_process, whole_process
from models.memory.terms import MemoryTerm, required_architecture
from models.parallel.layout import GroupLayout, Shard
from models.spec import PAGED_ENGINES, EngineName, Limits

CountField = Literal["max_num_seqs", "max_batch_size"]


def count_field(engine: EngineName) -> CountField:
    """The limit that says how many inputs an engine works on at once."""
    return "max_num_seqs" if engine in PAGED_ENGINES else "max_batch_size"


def largest(low: int, high: int, fits: Callable[[int], bool]) -> int:
    """The largest value from ``low`` to ``high`` that fits, by bisection; ``low`` when none does."""
    if fits(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


@dataclass(frozen=True, slots=True)
class Replica:
    """Everything that its bytes depend on, but its limits and the pages of its KV cache.

    ``group``: how it is divided between ranks; None for one process. ``sleeps``: at times its weights leave the
    GPU for the node's memory.
    """

    manifest: Manifest
    engine: EngineName
    device: Device
    overheads: Overheads
    group: GroupLayout | None = None
    sleeps: bool = False

    def terms(self, limits: Limits, num_kv_pages: int) -> tuple[MemoryTerm, ...]:
        """What lies on the device, of a group on that of the rank with most. ConfigError when facts lack."""
        length = self.model_len(limits)
        return max((each.terms(limits, length, num_kv_pages) for each in self._unlike()), key=sum_bytes)

    def host_terms(self) -> tuple[MemoryTerm, ...]:
        """What lies in the node's memory beside the GPU of the process with most."""
        return max((each.host_terms(sleeps=self.sleeps) for each in self._unlike()), key=sum_bytes)

    def process(self, rank: int) -> Process:
        """The process that is ``rank`` of the group, or the only one."""
        if self.group is not None:
            return self.rank(self.group.shard(rank))
        return whole_process(self.manifest, self.engine, self.device, self._overhead)

    def rank(self, shard: Shard) -> Process:
        """A process that holds ``shard``."""
        return rank_process(self.manifest, self.engine, self.device, self._overhead, shard)

    def layout(self, limits: Limits) -> CacheLayout | None:
        """How the process that leads pages its KV cache; None for an engine without one."""
        return page_layout(self.process(0).manifest, limits) if self.engine in PAGED_ENGINES else None

    def num_pages(self, limits: Limits) -> int:
        """Pages with which every sequence can be as long as the limits say."""
        layout = self.layout(limits)
        return 0 if layout is None else layout.num_pages_for(limits.max_num_seqs, self.model_len(limits))

    def total_bytes(self, limits: Limits, num_kv_pages: int | None = None) -> int:
        """On the device; ``num_kv_pages`` None: as many as the limits need."""
        num_pages = self.num_pages(limits) if num_kv_pages is None else num_kv_pages
        return sum_bytes(self.terms(limits, num_pages))

    def model_len(self, limits: Limits) -> int:
        """The context length in tokens: the operator's, or what the model was trained for.

        ConfigError when the operator's exceeds the model's, or when neither is known and the KV cache needs it.
        """
        trained, wanted = _trained_len(self.manifest), limits.max_model_len
        if wanted is not None and trained is not None and wanted > trained:
            raise ConfigError(
                f"limits.max_model_len of {self.manifest.id} is {wanted}, but it was trained for {trained} tokens",
                remedy=f"set limits.max_model_len to {trained} or less",
            )
        length = wanted or trained
        if length is None and self.engine in PAGED_ENGINES:
            required_architecture(self.manifest)
            raise ConfigError(
                f"how long the context of {self.manifest.id} may be is not known: its config.json has no maximum",
                remedy="set limits.max_model_len",
            )
        return length or 1

    @property
    def _overhead(self) -> Overhead:
        return self.overheads.of(self.engine, self.device.kind)

    def _unlike(self) -> tuple[Process, ...]:
        """Of the processes that are alike, one: the ranks of a stage are, but for the one that leads."""
        if self.group is None:
            return (self.process(0),)
        others = (self.group.ranks_of(stage)[-1] for stage in range(self.group.degree.pipeline))
        return tuple(self.process(rank) for rank in sorted({0, *others}))


def sum_bytes(terms: Iterable[MemoryTerm]) -> int:
    """Of all terms together."""
    return sum(term.bytes for term in terms)


def _trained_len(manifest: Manifest) -> int | None:
    if manifest.embedding is not None:
        return manifest.embedding.max_tokens
    return manifest.architecture.max_position_embeddings if manifest.architecture else None
