"""Which of a loaded model's weights are pages of its files, shared by all processes that map them."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Collection
from pathlib import Path

import torch

MAPS = Path("/proc/self/maps")


def private_weight_bytes(
    model: torch.nn.Module, folder: Path, *, but: Collection[str] = (), maps: Path = MAPS
) -> int:
    """Bytes of the model's parameters and stored buffers that lie outside of the mappings of files in ``folder``.

    Tied tensors count once; those named in ``but`` do not count. ``maps`` is as proc_pid_maps(5) describes it.
    OSError where there is none, which is everywhere but on Linux.
    """
    mapped = mapped_ranges(maps.read_bytes(), folder.resolve())
    starts = [each.start for each in mapped]
    private: dict[int, int] = {}
    for name, tensor in model.state_dict().items():
        address = tensor.data_ptr()
        at = bisect_right(starts, address) - 1
        if name not in but and (at < 0 or address not in mapped[at]):
            private[address] = tensor.nbytes
    return sum(private.values())


def mapped_ranges(maps: bytes, folder: Path) -> list[range]:
    """The addresses, in order, that are mapped from files below ``folder``."""
    inside = os.fsencode(folder) + b"/"
    ranges = []
    for line in maps.splitlines():
        fields = line.split(None, 5)
        if len(fields) == 6 and fields[5].startswith(inside):
            start, _, stop = fields[0].partition(b"-")
            ranges.append(range(int(start, 16), int(stop, 16)))
    return sorted(ranges, key=lambda each: each.start)
