"""What a node has. Torch-free: builders and the command line run where no accelerator is."""

from __future__ import annotations

from pathlib import Path

# Ray keeps 30% of a node's available memory for its object store and offers the rest as the resource "memory".
RAY_MEMORY_SHARE = 0.7


def local_node_memory_bytes(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes of memory that a Ray node started on this machine now would offer to replicas."""
    for line in meminfo.read_text().splitlines():
        label, _, value = line.partition(":")
        if label == "MemAvailable":
            return int(int(value.split()[0]) * 1024 * RAY_MEMORY_SHARE)
    raise OSError(f"{meminfo} has no MemAvailable line; give the node's memory explicitly")
