"""What a safetensors file says of its tensors in its header. Nothing is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

from pydantic import BaseModel, RootModel
from safetensors import SafetensorError, safe_open

from models.errors import SourceError

# The code in the header: the name that torch uses, and the bytes of one element.
_TYPES = {
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
CODES = {dtype: code for code, (dtype, _) in _TYPES.items()}
ITEM_BYTES = dict(_TYPES.values())
FLOATS = ("float64", "float32", "float16", "bfloat16")


class ShardIndex(BaseModel):
    """``model.safetensors.index.json``: the file that holds each tensor."""

    weight_map: dict[str, str]


class _Entry(BaseModel):
    data_offsets: tuple[int, int] = (0, 0)


class _Header(RootModel[dict[str, _Entry]]):
    """Of each tensor, and of ``__metadata__``, which has none."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a file: ``dtype`` as torch names it, ``shape`` in elements."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def num_elements(self) -> int:
        return prod(self.shape)

    @property
    def num_bytes(self) -> int:
        return self.num_elements * ITEM_BYTES[self.dtype]


def read_header(path: Path) -> list[StoredTensor]:
    """The file's tensors; SourceError unless its header is whole, known, and agrees with the file's size."""
    try:
        with safe_open(path, framework="numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return [
                _stored_tensor(path.name, name, each.get_dtype(), tuple(each.get_shape()))
                for name, each in slices.items()
            ]
    except SafetensorError as error:
        raise SourceError(
            f"{path.name} is not a whole safetensors file: {error}", remedy="get the file from its origin again"
        ) from error


def data_offsets(path: Path) -> dict[str, int]:
    """Where in the file each tensor's first byte is. For files whose header ``read_header`` has found whole.

    The format: eight bytes with the length of the JSON that follows; its offsets are counted from its end.
    """
    content = raw_header(path)
    header = _Header.model_validate_json(content).root
    start = 8 + len(content)
    return {name: start + entry.data_offsets[0] for name, entry in header.items() if name != "__metadata__"}


def raw_header(path: Path) -> bytes:
    """The JSON at the beginning of the file, as it stands there."""
    with path.open("rb") as file:
        return file.read(int.from_bytes(file.read(8), "little"))


def _stored_tensor(file_name: str, name: str, code: str, shape: tuple[int, ...]) -> StoredTensor:
    if code not in _TYPES:
        raise SourceError(
            f"{file_name} holds a tensor of type {code}", remedy=f"supported are {', '.join(_TYPES)}"
        )
    return StoredTensor(name, _TYPES[code][0], shape)
