"""The safetensors files of a stored version, of which a rank reads its own tensors. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from mmap import ACCESS_COPY, MADV_DONTNEED, MADV_NORMAL, MADV_RANDOM, PAGESIZE, mmap
from pathlib import Path

import torch

from models.errors import StoreError
from models.manifest import Manifest
from models.safetensors_file import ITEM_BYTES, ShardIndex, StoredTensor, data_offsets, read_header
from models.selection import INDEX_FILE

_SINGLE_FILE = "model.safetensors"
_SAME_MODEL = "import weights and config.json of the same model"


class Checkpoint:
    """Each file is mapped once, when it is first needed; nothing is read but what is asked for."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.owner = manifest.id
        self._folder = folder
        self._weight_map = _weight_map(folder)
        self._mapped: dict[str, _MappedFile] = {}

    def read(self, name: str, shape: Sequence[int], rows: slice) -> torch.Tensor:
        """A view of the mapped file. StoreError when there is no such tensor, or the whole has another shape."""
        return self._holder(name, shape).view(name, rows)

    def copy(self, name: str, shape: Sequence[int], place: tuple[slice, ...]) -> torch.Tensor:
        """As ``read``, of any part, as memory of this process's own: ``place`` has a slice for each dimension."""
        return self._holder(name, shape).copy(name, place)

    def _holder(self, name: str, shape: Sequence[int]) -> _MappedFile:
        file = _SINGLE_FILE if self._weight_map is None else self._weight_map.get(name)
        found = self._file(file) if file else None
        if found is None or name not in found.tensors:
            raise StoreError(f"no file of {self.owner} holds the tensor {name}", remedy=_SAME_MODEL)
        stored_shape = found.tensors[name].shape
        if stored_shape != tuple(shape):
            raise StoreError(
                f"{name} of {self.owner} has shape {list(stored_shape)}, config.json says {list(shape)}",
                remedy=_SAME_MODEL,
            )
        return found

    def _file(self, name: str) -> _MappedFile:
        if name not in self._mapped:
            self._mapped[name] = _MappedFile(self._folder / name)
        return self._mapped[name]


class _MappedFile:
    """A file of which only what is asked for becomes resident.

    At a fault the kernel maps the whole folio that the page is in, which may be megabytes of what other ranks have
    (Linux 6.18), but never beyond what was advised alike: so what was not asked for has another advice.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap(file.fileno(), 0, access=ACCESS_COPY)
        self._map.madvise(MADV_RANDOM)
        self._offsets = data_offsets(path)
        self.tensors = {tensor.name: tensor for tensor in read_header(path)}

    def view(self, name: str, rows: slice) -> torch.Tensor:
        stored = self.tensors[name]
        num_rows, *row_shape = stored.shape or (1,)
        first, stop, _ = rows.indices(num_rows)
        row_bytes = stored.num_bytes // max(1, num_rows)
        start = self._offsets[name] + first * row_bytes
        self._advise(MADV_NORMAL, start, (stop - first) * row_bytes)
        return self._tensor(stored, start, (stop - first, *row_shape) if stored.shape else ())

    def copy(self, name: str, place: tuple[slice, ...]) -> torch.Tensor:
        stored, start = self.tensors[name], self._offsets[name]
        self._advise(MADV_NORMAL, start, stored.num_bytes)
        part = self._tensor(stored, start, stored.shape)[place].clone(memory_format=torch.contiguous_format)
        self._advise(MADV_RANDOM, start, stored.num_bytes)
        self._advise(MADV_DONTNEED, start, stored.num_bytes)
        return part

    def _tensor(self, stored: StoredTensor, start: int, shape: tuple[int, ...]) -> torch.Tensor:
        dtype: torch.dtype = getattr(torch, stored.dtype)
        num_bytes = prod(shape) * ITEM_BYTES[stored.dtype]
        if not num_bytes:
            return torch.empty(shape, dtype=dtype)
        return (
            torch.frombuffer(self._map, dtype=torch.uint8, count=num_bytes, offset=start).view(dtype).view(shape)
        )

    def _advise(self, advice: int, start: int, num_bytes: int) -> None:
        before = start % PAGESIZE
        self._map.madvise(advice, start - before, num_bytes + before)


def _weight_map(folder: Path) -> Mapping[str, str] | None:
    """The file of every stored tensor; None where one file has them all."""
    index = folder / INDEX_FILE
    return ShardIndex.model_validate_json(index.read_bytes()).weight_map if index.is_file() else None
