"""Which of a loaded model's weights are pages of its files, shared by all processes that map them."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import torch

MAPS = Path("/proc/self/maps")


class FilePosition(NamedTuple):
    """A byte of a file, ``offset`` bytes from its beginning."""

    path: Path
    offset: int


@dataclass(frozen=True, slots=True)
class _Mapping:
    """Addresses of the process that show a file from ``start`` on."""

    addresses: range
    start: FilePosition


class FileMappings:
    """What a process has mapped, at the moment when this was read."""

    def __init__(self, mappings: Sequence[_Mapping]) -> None:
        self._mappings = sorted(mappings, key=lambda each: each.addresses.start)

    @classmethod
    def below(cls, folder: Path, maps: Path = MAPS) -> Self:
        """Of the files below ``folder``. ``maps`` is as proc_pid_maps(5) describes it.

        OSError where there is none, which is everywhere but on Linux.
        """
        inside = os.fsencode(folder.resolve()) + b"/"
        lines = (line.split(None, 5) for line in maps.read_bytes().splitlines())
        return cls([_mapping(line) for line in lines if len(line) == 6 and line[5].startswith(inside)])

    def find(self, address: int) -> FilePosition | None:
        """What lies at ``address``; None when it is in no mapping."""
        at = bisect_right(self._mappings, address, key=lambda each: each.addresses.start) - 1
        if at < 0 or address not in self._mappings[at].addresses:
            return None
        mapping = self._mappings[at]
        return mapping.start._replace(offset=mapping.start.offset + address - mapping.addresses.start)


def private_weight_bytes(
    model: torch.nn.Module, folder: Path, *, but: Collection[str] = (), maps: Path = MAPS
) -> int:
    """Bytes of the model's parameters and stored buffers that lie outside of the mappings of files in ``folder``.

    Tied tensors count once; those named in ``but`` do not count. ``maps`` as for ``FileMappings.below``.
    """
    mappings = FileMappings.below(folder, maps)
    private = {
        tensor.data_ptr(): tensor.nbytes
        for name, tensor in model.state_dict().items()
        if name not in but and mappings.find(tensor.data_ptr()) is None
    }
    return sum(private.values())


def _mapping(fields: Sequence[bytes]) -> _Mapping:
    start, _, stop = fields[0].partition(b"-")
    return _Mapping(
        range(int(start, 16), int(stop, 16)), FilePosition(Path(os.fsdecode(fields[5])), int(fields[2], 16))
    )
