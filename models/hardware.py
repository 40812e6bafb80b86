"""What holds models: GPUs, and the memory of nodes. Torch-free: plans are made where no accelerator is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

# Ray keeps 30% of a node's available memory for its object store and offers the rest as the resource "memory".
RAY_MEMORY_SHARE = 0.7
# Of a made-up node whose CPUs nobody gave: so many that they never decide. Finite, as JSON and counting want it.
UNBOUNDED_CPUS = 1e6
# What waits for files of which it does not know how far they are waits as long as this takes.
SLOW_DISK_BYTES_PER_S = 50e6

DeviceKind = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Device:
    """A kind of device, for example one H100 with 80 GB. For a CPU node, its memory as Ray offers it.

    ``memory_bytes`` is what the driver reports as its total, ``usable_bytes`` what plans may fill.
    ``accelerator_type`` is Ray's name of it, None for a CPU. ``source`` says where the numbers come from.
    ``driver_names`` are what drivers call such a device.
    """

    name: str
    kind: DeviceKind
    memory_bytes: int
    usable_bytes: int
    accelerator_type: str | None = None
    source: str = ""
    driver_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a cluster. ``memory_bytes`` is what Ray offers to replicas, ``num_devices`` counts its GPUs.

    ``group`` is its node type, ``stored`` names the versions (``name@version``) whose weights lie on it,
    ``price_per_hour`` is None where none was given. ``source`` says where CPUs and memory come from.
    """

    name: str
    num_cpus: float
    memory_bytes: int
    gpu: Device | None = None
    num_devices: int = 0
    group: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    stored: frozenset[str] = frozenset()
    price_per_hour: float | None = None
    source: str = ""


def cpu_device(memory_bytes: int, source: str = "") -> Device:
    """The memory of a CPU node as a device."""
    return Device("cpu", "cpu", memory_bytes, memory_bytes, None, source)


def local_node_memory_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes of memory that a Ray node started on this machine now would offer to replicas."""
    for line in meminfo.read_text().splitlines():
        label, _, value = line.partition(":")
        if label == "MemAvailable":
            return int(int(value.split()[0]) * 1024 * RAY_MEMORY_SHARE)
    raise OSError(f"{meminfo} has no MemAvailable line; give the node's memory explicitly")
