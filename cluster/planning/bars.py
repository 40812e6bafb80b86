"""Where the planned bytes lie: one bar for each GPU, and one for the memory of each node. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from models.hardware import UNBOUNDED_CPUS, Node
from models.memory.plan import format_bytes
from models.placement.slots import Demand, Placement, Slot

MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes that a model takes of a bar. ``replica`` is None for what its replicas on the node share, ``rank`` for
    a replica that is no group."""

    model: str
    replica: int | None
    bytes: int
    rank: int | None = None

    @property
    def name(self) -> str:
        """As far as a picture has room for it."""
        if self.model and self.replica is None:
            return f"{self.model} (shared)"
        return self.model if self.rank is None else f"{self.model} rank {self.rank}"

    def __str__(self) -> str:
        if not self.model:
            return "smaller ones together"
        if self.replica is None:
            return self.name
        rank = "" if self.rank is None else f" rank {self.rank}"
        return f"{self.model} replica {self.replica}{rank}"


@dataclass(frozen=True, slots=True)
class Bar:
    """One GPU of a node, or its memory (``index`` None). ``capacity_bytes`` is what plans may fill."""

    node: str
    index: int | None
    device: str
    capacity_bytes: int
    segments: tuple[Segment, ...]

    @property
    def label(self) -> str:
        return MEMORY if self.index is None else f"GPU {self.index}"

    @property
    def used_bytes(self) -> int:
        return sum(segment.bytes for segment in self.segments)

    @property
    def free_bytes(self) -> int:
        """Never negative: what is drawn must not exceed the bar."""
        return max(0, self.capacity_bytes - self.used_bytes)

    @property
    def used_percent(self) -> int:
        """Rounded down: what is not full is never 100."""
        return self.used_bytes * 100 // self.capacity_bytes if self.capacity_bytes else 0


@dataclass(frozen=True, slots=True)
class NodeBars:
    """A node and its bars: its GPUs by index, then its memory; how many replicas run on it, and their CPUs."""

    node: Node
    bars: tuple[Bar, ...]
    num_replicas: int
    used_cpus: float

    @property
    def facts(self) -> str:
        """What the node has, and its price: ``8 x h100-80gb, 4.5 of 96 CPUs, 900.0 GiB, 39.80 per hour``."""
        node = self.node
        facts = [f"{node.num_devices} x {node.gpu.name}"] if node.gpu is not None else []
        known = f" of {node.num_cpus:g}" if node.num_cpus < UNBOUNDED_CPUS else ""
        facts += [f"{self.used_cpus:g}{known} CPUs", format_bytes(node.memory_bytes)]
        if node.price_per_hour is not None:
            facts.append(f"{node.price_per_hour:,.2f} per hour")
        return ", ".join(facts)

    @property
    def shown_bars(self) -> tuple[Bar, ...]:
        """All but the memory beside GPUs while nothing lies in it."""
        return tuple(bar for bar in self.bars if bar.segments or bar.index is not None or self.node.gpu is None)


def draw_bars(nodes: Sequence[Node], demands: Sequence[Demand], placement: Placement) -> tuple[NodeBars, ...]:
    """The bars of ``nodes``, in their order; the segments of each in the order of ``demands``.

    What a CPU model's replicas share is a segment of its own where there are several on a node. Each rank of a
    group is one too.
    """
    placed = [(demand, slot) for demand in demands if (slot := placement.slots.get(demand.key))]
    sharing = Counter((slot.node, demand.model, demand.part) for demand, slot in placed)
    segments: dict[tuple[str, int | None], list[Segment]] = {}
    for demand, slot in placed:
        for device, rank in zip(slot.devices, _ranks(demand), strict=False):
            segments.setdefault((slot.node, device), []).append(_own(demand, demand.device_bytes, rank))
        here = (slot.node, demand.model, demand.part)
        num_sharing = sharing.pop(here, 0)  # the first of them brings what they share
        segments.setdefault((slot.node, None), []).extend(_in_memory(demand, slot, num_sharing))
    return tuple(
        NodeBars(
            node,
            tuple(_bars_of(node, segments)),
            len({demand.group for demand, slot in placed if slot.node == node.name}),
            sum(demand.num_cpus for demand, slot in placed if slot.node == node.name),
        )
        for node in nodes
    )


def _in_memory(demand: Demand, slot: Slot, num_sharing: int) -> Iterator[Segment]:
    """What a replica, or each rank of one, adds to the memory of its node."""
    total = demand.host_bytes + (0 if slot.devices else demand.own_bytes)
    if num_sharing == 1:
        total += demand.shared_bytes
    elif num_sharing and demand.shared_bytes:
        yield Segment(demand.model, None, demand.shared_bytes)
    for left, rank in zip(range(demand.num_ranks, 0, -1), _ranks(demand), strict=True):
        yield _own(demand, total // left, rank)
        total -= total // left


def _ranks(demand: Demand) -> Sequence[int | None]:
    """None for a replica that is no group."""
    return demand.ranks if demand.num_ranks * demand.num_parts > 1 else (None,)


def _own(demand: Demand, num_bytes: int, rank: int | None) -> Segment:
    return Segment(demand.model, demand.replica, num_bytes, rank)


def _bars_of(node: Node, segments: Mapping[tuple[str, int | None], Sequence[Segment]]) -> Iterator[Bar]:
    places: list[tuple[int | None, str, int]] = [(None, MEMORY, node.memory_bytes)]
    if node.gpu is not None:
        places = [(index, node.gpu.name, node.gpu.usable_bytes) for index in range(node.num_devices)] + places
    for index, device, capacity_bytes in places:
        found = segments.get((node.name, index), ())
        yield Bar(node.name, index, device, capacity_bytes, tuple(each for each in found if each.bytes))


def share_cells(amounts: Sequence[int], num_cells: int) -> list[int]:
    """``num_cells`` divided in proportion to ``amounts``, by largest remainder.

    Whatever is not zero gets at least one cell, at the cost of the largest. ValueError when there are too few.
    """
    if sum(amount > 0 for amount in amounts) > num_cells:
        raise ValueError(f"{len(amounts)} amounts do not fit into {num_cells} cells")
    total = sum(amounts) or 1
    cells = [max(1, amount * num_cells // total) if amount > 0 else 0 for amount in amounts]
    by_remainder = sorted(range(len(amounts)), key=lambda i: (-(amounts[i] * num_cells % total), i))
    for i in [i for i in by_remainder if amounts[i] > 0][: max(0, num_cells - sum(cells))]:
        cells[i] += 1
    while sum(cells) > num_cells:
        cells[cells.index(max(cells))] -= 1
    return cells


def merge_smallest(segments: Sequence[Segment], most: int) -> tuple[Segment, ...]:
    """At most ``most`` segments: those that are too many, the smallest, are one at the end without a model."""
    if len(segments) <= most:
        return tuple(segments)
    by_size = sorted(segments, key=lambda segment: -segment.bytes)
    rest = by_size[most - 1 :]
    kept = [segment for segment in segments if segment not in rest]
    return (*kept, Segment("", None, sum(segment.bytes for segment in rest)))
