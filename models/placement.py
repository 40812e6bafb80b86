"""Which replica goes onto which device. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

RAY_UNITS = 10_000  # Ray counts resources in steps of 0.0001


@dataclass(frozen=True, slots=True)
class Demand:
    """One replica (or group of ``num_ranks`` tensor-parallel ranks) that has to be placed.

    On a GPU node (``device`` names its kind of GPU) each rank takes ``device_bytes`` of one GPU, all ranks on one
    node. On a CPU node (``device`` is ``cpu``) a replica takes ``device_bytes`` of the node's memory of its own,
    and ``shared_bytes`` once for all replicas of the same ``model`` on the node. ``host_bytes`` and ``num_cpus``
    are taken from the node beside a GPU.
    """

    model: str
    replica: int
    device: str
    device_bytes: int
    shared_bytes: int = 0
    num_ranks: int = 1
    host_bytes: int = 0
    num_cpus: float = 0.0


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a demand lies: a node, and the indices of its GPUs, one for each rank; none on a CPU node."""

    node: str
    devices: tuple[int, ...] = ()

    def __str__(self) -> str:
        return "/".join([self.node, *(["+".join(map(str, self.devices))] if self.devices else [])])


@dataclass(frozen=True, slots=True)
class Placement:
    """``slots`` by (model, replica); ``unplaced`` are those that found no place."""

    slots: Mapping[tuple[str, int], Slot]
    unplaced: tuple[Demand, ...] = ()
