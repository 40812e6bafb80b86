"""How many parameters a model has, in which type, and how many bytes they take. Nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from models.errors import SourceError
from models.importing.account import account_for
from models.importing.json_file import read_json
from models.importing.onnx_graph import initializers
from models.manifest import WeightAccount
from models.safetensors_file import ShardIndex, StoredTensor
from models.selection import INDEX_FILE


@dataclass(frozen=True, slots=True)
class TensorTotals:
    """Of all stored tensors together. ``dtype`` is the one that most of the bytes have.

    ``shared_bytes``: those that a process uses where they lie in the mapped file. ``account``: in which layer they
    are, where that can be told.
    """

    dtype: str
    num_parameters: int
    weight_bytes: int
    shared_bytes: int
    account: WeightAccount | None = None


def count_initializers(graph: Path) -> TensorTotals:
    """Of an ONNX graph, of which each session makes a copy of its own. SourceError when it is broken."""
    return _totals(initializers(graph), shared_bytes=0)


def safetensors_files(folder: Path) -> list[Path]:
    """The weight files; when there is an index, those that it names must be there, and no others."""
    present = sorted(folder.glob("*.safetensors"))
    if not (folder / INDEX_FILE).exists():
        return present
    named = set(read_json(folder / INDEX_FILE, ShardIndex).weight_map.values())
    if wrong := named ^ {path.name for path in present}:
        raise SourceError(
            f"{INDEX_FILE} and the files beside it do not agree on {', '.join(sorted(wrong))}",
            remedy="get all shards of one revision of the model",
        )
    return present


def count_tensors(tensors: Iterable[StoredTensor], *, private_bytes: int = 0) -> TensorTotals:
    """The sums over the tensors, of which ``private_bytes`` are not used where they lie. SourceError for none."""
    counted = tuple(tensors)
    sizes = [(tensor.dtype, tensor.num_elements, tensor.num_bytes) for tensor in counted]
    totals = _totals(sizes, shared_bytes=sum(num_bytes for _, _, num_bytes in sizes) - private_bytes)
    return replace(totals, account=account_for(counted))


def _totals(tensors: list[tuple[str, int, int]], *, shared_bytes: int) -> TensorTotals:
    """``tensors``: dtype, elements and bytes of each."""
    if not tensors:
        raise SourceError("the model's files hold no tensors", remedy="get them from their origin again")
    bytes_of: dict[str, int] = {}
    for dtype, _, num_bytes in tensors:
        bytes_of[dtype] = bytes_of.get(dtype, 0) + num_bytes
    return TensorTotals(
        dtype=max(bytes_of, key=bytes_of.__getitem__),
        num_parameters=sum(num_elements for _, num_elements, _ in tensors),
        weight_bytes=sum(bytes_of.values()),
        shared_bytes=shared_bytes,
    )
