"""Write a checkpoint so that every process can use its tensors where they lie. Imports torch.

Tensor by tensor: what is held is a slice of a tensor that is cast, or the tensors that are merged into one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models.progress import Progress
from models.safetensors_file import CODES, ITEM_BYTES, StoredTensor, data_offsets
from models.selection import INDEX_FILE
from models.weight_layout import Piece, WeightLayout

_SLICE_BYTES = 64 << 20
_DATA_ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Rewriting:
    """The pieces of a checkpoint, as they are to be written, and the model that they are for."""

    layout: WeightLayout
    pieces: tuple[Piece, ...]

    @property
    def tensors(self) -> tuple[StoredTensor, ...]:
        """All that the written files will hold."""
        return tuple(tensor for piece in self.pieces for tensor in piece.wanted)

    def write(self, files: Sequence[Path], target: Path, progress: Progress) -> None:
        """Write each of the safetensors ``files`` anew, under its name in ``target``; their index if several."""
        total_bytes, done_bytes = sum(piece.num_bytes for piece in self.pieces), 0
        holders: dict[str, str] = {}
        checkpoint = _Checkpoint(files)
        for path in files:
            here = [piece for piece in self.pieces if checkpoint.holder(piece.stored[0]) == path.name]
            holders |= {tensor.name: path.name for piece in here for tensor in piece.wanted}
            for written in self._write_file(target / path.name, here, checkpoint):
                done_bytes += written
                progress.advance(done_bytes, total_bytes)
        if len(files) > 1:
            index = {"metadata": {"total_size": total_bytes}, "weight_map": holders}
            (target / INDEX_FILE).write_text(json.dumps(index, indent=2), encoding="utf-8")

    def _write_file(self, path: Path, pieces: Sequence[Piece], checkpoint: _Checkpoint) -> Iterator[int]:
        """The number of bytes of each tensor or slice, as it is written. Large types first, so all are aligned."""
        ordered = sorted(pieces, key=lambda piece: -max(ITEM_BYTES[each.dtype] for each in piece.wanted))
        with path.open("xb") as file:
            file.write(_header([tensor for piece in ordered for tensor in piece.wanted]))
            for piece in ordered:
                for part in self._parts(piece, checkpoint):
                    yield file.write(part.contiguous().reshape(-1).view(torch.uint8).numpy().data)

    def _parts(self, piece: Piece, checkpoint: _Checkpoint) -> Iterator[torch.Tensor]:
        """The bytes to write, in the order of ``piece.wanted``."""
        if piece.is_converted and piece.wanted != piece.stored:
            made = self.layout.make(piece, checkpoint.read)
            yield from (made[tensor.name] for tensor in piece.wanted)
            return
        for stored, wanted in zip(piece.stored, piece.wanted, strict=True):
            dtype: torch.dtype = getattr(torch, wanted.dtype)
            yield from (part.to(dtype) for part in checkpoint.slices(stored))


class _Checkpoint:
    """Safetensors files, read a tensor or slice at a time into memory that is given back.

    The library's own reader maps the whole file, or reads the whole tensor for each slice of it.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._places = {name: (path, start) for path in files for name, start in data_offsets(path).items()}

    def holder(self, tensor: StoredTensor) -> str:
        """The name of the file that the tensor is in."""
        return self._places[tensor.name][0].name

    def read(self, tensor: StoredTensor) -> torch.Tensor:
        """The whole tensor."""
        return self._read(tensor, 0, tensor.num_elements).reshape(tensor.shape)

    def slices(self, tensor: StoredTensor) -> Iterator[torch.Tensor]:
        """Its elements in order, in one dimension, about _SLICE_BYTES at a time."""
        step = max(1, _SLICE_BYTES // ITEM_BYTES[tensor.dtype])
        for first in range(0, tensor.num_elements, step):
            yield self._read(tensor, first, min(step, tensor.num_elements - first))

    def _read(self, tensor: StoredTensor, first: int, count: int) -> torch.Tensor:
        path, start = self._places[tensor.name]
        item_bytes = ITEM_BYTES[tensor.dtype]
        content = np.fromfile(path, np.uint8, count * item_bytes, offset=start + first * item_bytes)
        return torch.from_numpy(content).view(getattr(torch, tensor.dtype))


def _header(tensors: Sequence[StoredTensor]) -> bytes:
    """A safetensors header: its length in 8 bytes, then JSON padded with spaces so that the data is aligned."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    start = 0
    for tensor in tensors:
        stop = start + tensor.num_bytes
        entries[tensor.name] = {
            "dtype": CODES[tensor.dtype],
            "shape": tensor.shape,
            "data_offsets": (start, stop),
        }
        start = stop
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % _DATA_ALIGNMENT)
    return len(text).to_bytes(8, "little") + text
