"""What a rank finds of the device that was planned for it. Imports torch only for a CUDA device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

from models.devices import device_of_driver
from models.errors import GroupError
from models.process_memory import read_process_memory

_CGROUPS = Path("/sys/fs/cgroup")
_PROCESS = Path("/proc/self")
# Of memory.stat: pages of files, which the kernel gives up before it refuses memory to anyone.
_RECLAIMABLE = ("inactive_file", "active_file")


@dataclass(frozen=True, slots=True)
class DeviceState:
    """``identity`` is the same for all ranks of a node that share the device. ``held_bytes``: what of the rank's
    budget its process has there already."""

    identity: str
    name: str
    free_bytes: int
    held_bytes: int

    def __str__(self) -> str:
        return f"{self.name} with {self.free_bytes / 2**30:.1f} GiB free"


def cpu_state(weights: Path) -> DeviceState:
    """The node's memory; ``weights`` is the folder of the version's files."""
    held_bytes = read_process_memory(weights).total_bytes
    return DeviceState("cpu", "cpu", free_memory_bytes(), held_bytes)


def cuda_state(index: int, planned: str, context_bytes: int) -> DeviceState:
    """The CUDA device that the process sees under ``index``, which the plan takes for the table's ``planned``.

    ``context_bytes`` is the plan's figure for the context, which is there once the device was looked at.
    GroupError when there is no such device, or when it is another one of the table.
    """
    import torch  # noqa: PLC0415  a rank on a CPU looks before it loads anything

    num_devices = torch.cuda.device_count()
    if index >= num_devices:
        raise GroupError(
            f"there is no cuda:{index}: the process sees {num_devices} CUDA devices",
            remedy="see nvidia-smi on the node, and that its Ray offers as many GPUs as work",
        )
    properties = torch.cuda.get_device_properties(index)
    known = device_of_driver(properties.name)
    if known is not None and known.name != planned:
        raise GroupError(
            f"cuda:{index} is a {known.name}, and {planned} was planned",
            remedy=f"plan for {known.name}: set the label stowage.io/device of the node",
        )
    free_bytes, _ = torch.cuda.mem_get_info(index)
    return DeviceState(str(properties.uuid), properties.name, free_bytes, context_bytes)


def free_memory_bytes(process: Path = _PROCESS, cgroups: Path = _CGROUPS) -> int:
    """What the process can still take: the node's available memory, or less where a control group (v2) that it is
    in has less room."""
    return min([psutil.virtual_memory().available, *_rooms(process, cgroups)])


def _rooms(process: Path, cgroups: Path) -> list[int]:
    """Of each group around the process that has a limit, what is left of it."""
    lines = (process / "cgroup").read_text().splitlines()
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if own is None:
        return []
    folders = [cgroups / own, *(parent for parent in (cgroups / own).parents if parent.is_relative_to(cgroups))]
    return [room for folder in folders if (room := _room(folder)) is not None]


def _room(folder: Path) -> int | None:
    """None for a group without a limit. The root has no such file; a path of another namespace is not there."""
    limit = folder / "memory.max"
    if not limit.is_file() or limit.read_text().strip() == "max":
        return None
    fields = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
    reclaimable = sum(int(value) for name, value in fields if name in _RECLAIMABLE)
    return int(limit.read_text()) - int((folder / "memory.current").read_text()) + reclaimable
