"""What transformers makes of a checkpoint's tensors when it loads them. Imports torch and transformers.

A process uses a tensor where it lies in the mapped file only if the model has it under the same or another name,
in the same dtype. Whatever transformers casts, and whatever it merges or splits on the way (the experts of a
mixture stacked into one tensor, say), becomes a copy of each process's own. The rules are transformers' own
(``core_model_loading`` and ``conversion_mapping`` of 5.23), run on a model without memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedModel
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    WeightConverter,
    WeightRenaming,
    build_glob_alternation,
    dot_natural_key,
    rename_source_key,
)

from models.errors import SourceError
from models.safetensors_file import StoredTensor
from models.types import Task

Read = Callable[[StoredTensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Piece:
    """Stored tensors that are loaded together, and the tensors that would be loaded without any change.

    ``target``: the first name that the model has for it; None for what no part of the model takes.
    ``is_converted``: one of transformers' converters makes the wanted tensors; otherwise it is at most a cast.
    ``is_attached``: a process uses the stored tensors where they lie.
    """

    stored: tuple[StoredTensor, ...]
    wanted: tuple[StoredTensor, ...]
    target: str | None
    is_converted: bool
    is_attached: bool

    @property
    def num_bytes(self) -> int:
        """Of the wanted tensors."""
        return sum(tensor.num_bytes for tensor in self.wanted)


class WeightLayout:
    """How the model of ``folder``'s config.json takes its weights, computing in ``dtype``.

    SourceError when transformers does not know the model.
    """

    def __init__(self, folder: Path, task: Task, dtype: str) -> None:
        self._model = _model_without_memory(folder, task, _torch_dtype(dtype))
        conversions = get_model_conversion_mapping(self._model)
        self._renamings = [each for each in conversions if isinstance(each, WeightRenaming)]
        self._converters = [each for each in conversions if isinstance(each, WeightConverter)]
        self._state = self._model.state_dict()
        kept = list(self._model._get_dtype_plan(_torch_dtype(dtype)))
        self._kept_in_float32 = build_glob_alternation(kept)[0] if kept else None

    def pieces(self, stored: Iterable[StoredTensor]) -> list[Piece]:
        """Every stored tensor in one piece, in the order of transformers."""
        groups: dict[str, list[StoredTensor]] = {}
        pieces: list[Piece] = []
        for tensor in sorted(stored, key=lambda each: dot_natural_key(each.name)):
            target, pattern = self._target(tensor.name)
            if target not in self._state:
                pieces.append(Piece((tensor,), (tensor,), None, is_converted=False, is_attached=True))
            elif pattern is None:
                pieces.append(self._plain(tensor, target))
            else:
                groups.setdefault(target, []).append(tensor)
        return pieces + [self._converted(target, tuple(group)) for target, group in groups.items()]

    def make(self, piece: Piece, read: Read) -> dict[str, torch.Tensor]:
        """The wanted tensors of a converted piece by name; ``read`` gives its stored ones."""
        if piece.target is None or not piece.is_converted:
            raise AssertionError(f"{piece.stored} is not converted")
        return self._convert(piece.target, piece.stored, read)

    def _plain(self, tensor: StoredTensor, target: str) -> Piece:
        wanted = replace(tensor, dtype=_name(self._dtype_of(target)))
        return Piece((tensor,), (wanted,), target, is_converted=False, is_attached=wanted == tensor)

    def _converted(self, target: str, stored: tuple[StoredTensor, ...]) -> Piece:
        """Converted without memory. Chunks of a tensor still lie in it; a stack of tensors does not."""
        inputs = {
            each.name: torch.empty(each.shape, dtype=_torch_dtype(each.dtype), device="meta") for each in stored
        }
        made = self._convert(target, stored, lambda each: inputs[each.name])
        lying = {tensor.untyped_storage()._cdata for tensor in inputs.values()}
        is_attached = all(tensor.untyped_storage()._cdata in lying for tensor in made.values())
        wanted = tuple(StoredTensor(name, _name(each.dtype), tuple(each.shape)) for name, each in made.items())
        return Piece(stored, wanted, target, is_converted=True, is_attached=is_attached)

    def _convert(self, target: str, stored: tuple[StoredTensor, ...], read: Read) -> dict[str, torch.Tensor]:
        """What the loader does with the tensors of one converter: cast each, then merge or split them."""
        _, first_pattern = self._target(stored[0].name)
        converter = deepcopy(next(each for each in self._converters if first_pattern in each.source_patterns))
        for tensor in stored:
            _, pattern = self._target(tensor.name)
            reading: Any = partial(self._read_cast, read, tensor, target)
            converter.add_tensor(target, tensor.name, str(pattern), reading)
        try:
            made = converter.convert(target, model=self._model, config=self._model.config)
        except (
            Exception
        ) as error:  # Its operations check nothing: a tensor that is missing makes any of them fail.
            raise SourceError(
                f"{len(stored)} tensors, {stored[0].name} first, do not make up {target}: {error}",
                remedy="import weights and config.json of the same model, with all their shards",
            ) from error
        return {name: each[0] if isinstance(each, list) else each for name, each in made.items()}

    def _read_cast(self, read: Read, tensor: StoredTensor, target: str) -> torch.Tensor:
        return read(tensor).to(self._dtype_of(target))

    def _target(self, name: str) -> tuple[str, str | None]:
        """The model's name of a stored tensor, and the converter's pattern that it matches, if any."""
        prefix = self._model.base_model_prefix
        target, pattern = rename_source_key(name, self._renamings, self._converters, prefix, self._state)
        if target not in self._state and name in self._state:
            target, pattern = rename_source_key(name, [], [], prefix, self._state)
        return target, pattern

    def _dtype_of(self, target: str) -> torch.dtype:
        """Some models keep a few tensors in float32 for their precision, whatever the rest is in."""
        if self._kept_in_float32 is not None and self._kept_in_float32.search(target):
            return torch.float32
        dtype: torch.dtype = self._state[target].dtype
        return dtype


def _torch_dtype(name: str) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _model_without_memory(folder: Path, task: Task, dtype: torch.dtype) -> PreTrainedModel:
    auto_class = AutoModelForCausalLM if task is Task.GENERATE else AutoModel
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        with torch.device("meta"):
            model: PreTrainedModel = auto_class.from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
    except (ValueError, KeyError, OSError, ImportError) as error:
        raise SourceError(
            f"transformers cannot build the model that config.json describes: {error}",
            remedy="import a model whose architecture this transformers contains",
        ) from error
    return model
