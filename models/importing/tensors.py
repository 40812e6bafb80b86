"""How many parameters a model has, in which type, and how many bytes they take. Nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from pathlib import Path

from pydantic import BaseModel
from safetensors import SafetensorError, safe_open

from models.errors import SourceError
from models.importing.json_file import read_json
from models.importing.onnx_graph import initializers
from models.selection import INDEX_FILE
from models.types import WeightFormat

_SAFETENSORS_TYPES = {
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "F8_E4M3": ("float8_e4m3fn", 1),
    "F8_E5M2": ("float8_e5m2", 1),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U64": ("uint64", 8),
    "U32": ("uint32", 4),
    "U16": ("uint16", 2),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a file: its type as torch names it, and its size."""

    dtype: str
    num_elements: int
    num_bytes: int


@dataclass(frozen=True, slots=True)
class TensorTotals:
    """Of all stored tensors together. ``dtype`` is the one that most of the bytes have."""

    dtype: str
    num_parameters: int
    weight_bytes: int


class _ShardIndex(BaseModel):
    weight_map: dict[str, str]


def count_tensors(folder: Path, weights_format: WeightFormat) -> TensorTotals:
    """Read the headers of the folder's weight files. SourceError when one is broken or missing."""
    if weights_format is WeightFormat.ONNX:
        graph = next(folder.glob("*.onnx"))
        return _totals(graph.name, [StoredTensor(*each) for each in initializers(graph)])
    paths = _safetensors_files(folder)
    return _totals(paths[0].name, [tensor for path in paths for tensor in _read_header(path)])


def _safetensors_files(folder: Path) -> list[Path]:
    """The weight files; when there is an index, those that it names must be there, and no others."""
    present = sorted(folder.glob("*.safetensors"))
    if not (folder / INDEX_FILE).exists():
        return present
    named = set(read_json(folder / INDEX_FILE, _ShardIndex).weight_map.values())
    if wrong := named ^ {path.name for path in present}:
        raise SourceError(
            f"{INDEX_FILE} and the files beside it do not agree on {', '.join(sorted(wrong))}",
            remedy="get all shards of one revision of the model",
        )
    return present


def _read_header(path: Path) -> list[StoredTensor]:
    try:
        with safe_open(path, framework="numpy") as file:
            slices = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118
            return [_stored_tensor(path.name, each.get_dtype(), each.get_shape()) for each in slices]
    except SafetensorError as error:
        raise SourceError(
            f"{path.name} is not a whole safetensors file: {error}", remedy="get the file from its origin again"
        ) from error


def _stored_tensor(file_name: str, code: str, shape: Iterable[int]) -> StoredTensor:
    if code not in _SAFETENSORS_TYPES:
        raise SourceError(
            f"{file_name} holds a tensor of type {code}",
            remedy=f"supported are {', '.join(_SAFETENSORS_TYPES)}",
        )
    dtype, item_bytes = _SAFETENSORS_TYPES[code]
    num_elements = prod(shape)
    return StoredTensor(dtype, num_elements, num_elements * item_bytes)


def _totals(file_name: str, tensors: list[StoredTensor]) -> TensorTotals:
    if not tensors:
        raise SourceError(f"{file_name} holds no tensors", remedy="get the file from its origin again")
    bytes_of: dict[str, int] = {}
    for tensor in tensors:
        bytes_of[tensor.dtype] = bytes_of.get(tensor.dtype, 0) + tensor.num_bytes
    return TensorTotals(
        dtype=max(bytes_of, key=bytes_of.__getitem__),
        num_parameters=sum(tensor.num_elements for tensor in tensors),
        weight_bytes=sum(bytes_of.values()),
    )
