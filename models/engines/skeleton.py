"""A loaded model without its weights, from which the next of its kind is made in milliseconds.

``from_pretrained`` takes 15 ms for a small encoder and over 100 ms for a model of 30 layers, nearly all of it with
Python's interpreter lock held, and finds out what all models with the same ``config.json`` have in common.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Hashable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from transformers import PreTrainedModel

from models.engines.mapped_weights import MAPS, FileMappings
from models.safetensors_file import raw_header
from models.selection import is_config_file


class _Reference(NamedTuple):
    """Where a tensor lies: ``offset`` in bytes from the beginning of the file, ``strides`` in elements."""

    file: str
    offset: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    is_parameter: bool


def kind_of(folder: Path) -> Hashable:
    """Equal for models that differ in nothing but the numbers in their safetensors files."""
    configs = ((path.name, path.read_bytes()) for path in sorted(folder.iterdir()) if is_config_file(path.name))
    layouts = ((path.name, raw_header(path)) for path in sorted(folder.glob("*.safetensors")))
    return tuple((name, sha256(content).digest()) for name, content in (*configs, *layouts))


@dataclass(frozen=True, slots=True)
class Skeleton:
    """The modules of a model, pickled, with references in place of the tensors that lie in its files."""

    pickled: bytes

    def fill(self, folder: Path) -> PreTrainedModel:
        """A model of its own whose weights are pages of the files in ``folder``, which is one of the same kind."""
        model: PreTrainedModel = _Reader(self.pickled, folder).load()
        return model


def take_skeleton(model: PreTrainedModel, folder: Path, unused: str | None = None) -> Skeleton | None:
    """The skeleton of a model that was loaded from ``folder``.

    None when there is none: when weights, other than those whose name starts with ``unused``, are not pages of a
    file, so that another model would get a copy of this one's, or when its modules cannot be pickled.
    """
    mappings = FileMappings.below(folder, MAPS)
    for name, tensor in model.state_dict().items():
        if mappings.find(tensor.data_ptr()) is None and not (unused and name.startswith(unused)):
            return None
    written = io.BytesIO()
    try:
        _Writer(written, mappings, folder.resolve()).dump(model)
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
    return Skeleton(written.getvalue())


class _Writer(pickle.Pickler):
    def __init__(self, file: io.BytesIO, mappings: FileMappings, folder: Path) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self._mappings = mappings
        self._folder = folder

    def persistent_id(self, obj: Any) -> _Reference | None:
        if not isinstance(obj, torch.Tensor):
            return None
        found = self._mappings.find(obj.data_ptr())
        if found is None:
            return None
        file = str(found.path.relative_to(self._folder))
        is_parameter = isinstance(obj, torch.nn.Parameter)
        return _Reference(file, found.offset, obj.dtype, tuple(obj.shape), obj.stride(), is_parameter)


class _Reader(pickle.Unpickler):
    """Reads only what a _Writer of this process has written."""

    def __init__(self, pickled: bytes, folder: Path) -> None:
        super().__init__(io.BytesIO(pickled))
        self._folder = folder
        self._files: dict[str, torch.UntypedStorage] = {}
        self._tensors: dict[_Reference, torch.Tensor] = {}  # tied weights are one tensor

    def persistent_load(self, pid: Any) -> torch.Tensor:
        reference = _Reference(*pid)
        if reference not in self._tensors:
            self._tensors[reference] = self._tensor(reference)
        return self._tensors[reference]

    def _tensor(self, reference: _Reference) -> torch.Tensor:
        from_there_on = self._file(reference.file)[reference.offset :]
        tensor = torch.empty(0, dtype=reference.dtype)
        tensor.set_(from_there_on, 0, reference.shape, reference.strides)
        return torch.nn.Parameter(tensor, requires_grad=False) if reference.is_parameter else tensor

    def _file(self, name: str) -> torch.UntypedStorage:
        if name not in self._files:
            path = self._folder / name
            # Not ``shared``: that would open the file for writing.
            storage = torch.UntypedStorage.from_file(str(path), shared=False, nbytes=path.stat().st_size)
            self._files[name] = cast("torch.UntypedStorage", storage)
        return self._files[name]
