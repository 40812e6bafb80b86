"""The model of one rank: its own layers, and of each matrix its own slice, out of the mapped files. Imports torch.

A stage is a transformers model with fewer layers, so that masks, rotary embeddings and the paged cache are
transformers' own. The stored tensors have the names and types that the whole model has (``models.rewrite`` writes
them so): layer ``n`` of the checkpoint is layer ``n - first_layer`` of the stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.distributed.tensor import Shard as SplitDimension
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.distributed.tensor_parallel import apply_tensor_parallelism

from models.errors import ConfigError
from models.manifest import Manifest
from models.parallel.checkpoint import Checkpoint
from models.parallel.layout import Shard
from models.progress import Progress
from models.types import Task


@dataclass(frozen=True, slots=True)
class Names:
    """Where the parts of a model are: the stack of layers, what is before it and what is after it."""

    layers: str
    first: tuple[str, ...]
    last: tuple[str, ...]


# By the name of the stack of layers within the base model.
_SHAPES = (Names("layers", ("embed_tokens",), ("norm",)), Names("encoder.layer", ("embeddings",), ()))


class StageModel:
    """``model`` computes the shard; ``names`` are those of its parts, relative to its base model."""

    def __init__(self, model: PreTrainedModel, names: Names, shard: Shard) -> None:
        self.model = model
        self.names = names
        self.shard = shard

    @property
    def layers(self) -> Sequence[torch.nn.Module]:
        stack: Any = self.model.base_model.get_submodule(self.names.layers)
        return list(stack)


def load_stage(
    folder: Path, manifest: Manifest, shard: Shard, device: str, mesh: DeviceMesh | None, progress: Progress
) -> StageModel:
    """The shard's model on ``device``, ready for inference. ``mesh``: the tensor ranks of its stage, None for one.

    Nothing else of the checkpoint is read. ConfigError for a model that cannot be divided so, StoreError when a
    tensor is missing or has another shape than config.json says.
    """
    stage = _skeleton(folder, manifest, shard)
    if mesh is not None:
        _divide(stage.model, mesh, manifest)
    _load_weights(stage, Checkpoint(folder, manifest), device, progress)
    if shard.is_first and shard.is_last:
        stage.model.tie_weights()
    if device != "cpu":
        torch.nn.Module.to(stage.model, torch.device(device))
    _narrow_heads(stage.model.config, shard.degree.tensor)
    torch.nn.Module.eval(stage.model)
    return stage


def _divide(model: PreTrainedModel, mesh: DeviceMesh, manifest: Manifest) -> None:
    """By transformers' plan for the family, but for what other stages hold."""
    plan: dict[str, str] = model._expand_parallel_plan(model.tp_plan)
    if not plan:
        raise ConfigError(
            f"transformers has no plan by which to cut the matrices of {manifest.id} ({model.config.model_type})",
            remedy="use parallel: {pipeline: N} alone",
        )
    absent = {name for name, module in model.named_modules() if isinstance(module, _PassOn)}
    apply_tensor_parallelism(model, mesh, {name: style for name, style in plan.items() if name not in absent})


def stored_tensors(folder: Path, manifest: Manifest, shard: Shard) -> frozenset[str]:
    """The names of the stored tensors of which the shard holds all or a part."""
    return frozenset(_wanted(_skeleton(folder, manifest, shard)).values())


def _skeleton(folder: Path, manifest: Manifest, shard: Shard) -> StageModel:
    """Without weights. Buffers are made as the model makes them."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    config = _of_layers(config.get_text_config(), shard)
    config._attn_implementation = "sdpa"
    auto_class: Any = AutoModelForCausalLM if manifest.task is Task.GENERATE else AutoModel
    with init_empty_weights(include_buffers=False):
        model: PreTrainedModel = auto_class.from_config(config, dtype=getattr(torch, manifest.dtype))
    stage = StageModel(model, _names(model, manifest), shard)
    _drop(stage)
    if not shard.is_first:
        _check_that_states_pass(stage, manifest)
    return stage


def _of_layers(config: PretrainedConfig, shard: Shard) -> PretrainedConfig:
    """The same with the shard's layers alone. What is said for each layer is a list with one entry for each."""
    total = config.num_hidden_layers
    if shard.stop_layer > total:
        raise ConfigError(f"{shard} is not in a model of {total} layers", remedy="plan it again")
    narrowed = deepcopy(config)
    for name, value in vars(config).items():
        if isinstance(value, list) and len(value) == total:
            setattr(narrowed, name, value[shard.first_layer : shard.stop_layer])
    narrowed.num_hidden_layers = shard.num_layers
    return narrowed


def _narrow_heads(config: PretrainedConfig, tensor: int) -> None:
    """From now on the config says what lies on this rank, by which the paged cache is made."""
    config.head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    config.num_attention_heads //= tensor
    if getattr(config, "num_key_value_heads", None) is not None:
        config.num_key_value_heads //= tensor


def _names(model: PreTrainedModel, manifest: Manifest) -> Names:
    modules = dict(model.base_model.named_modules())
    for names in _SHAPES:
        if all(each in modules for each in (names.layers, *names.first, *names.last)):
            return names
    raise ConfigError(
        f"{manifest.id} ({model.config.model_type}) cannot be divided into stages: its layers are not one stack "
        "between an embedding and a norm",
        remedy="serve it on one device",
    )


def _drop(stage: StageModel) -> None:
    """Replace what other stages hold by what passes its input on."""
    model, names, shard = stage.model, stage.names, stage.shard
    base = model.base_model
    for name in (*(() if shard.is_first else names.first), *(() if shard.is_last else names.last)):
        base.set_submodule(name, _PassOn())
    if model is not base and not shard.is_last:
        output: object = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        head = next(name for name, module in model.named_children() if module is output)
        model.set_submodule(head, _PassOn())
    if getattr(base, "pooler", None) is not None:
        base.set_submodule("pooler", _PassOn())  # no pooling of ours reads it


class _PassOn(torch.nn.Module):
    """Stands where another stage computes."""

    def forward(
        self, hidden_states: torch.Tensor | None = None, *, inputs_embeds: torch.Tensor | None = None, **_: object
    ) -> torch.Tensor | None:
        return hidden_states if inputs_embeds is None else inputs_embeds


def _check_that_states_pass(stage: StageModel, manifest: Manifest) -> None:
    """Some families multiply what comes in by a constant, outside of their layers; each stage would do it again.

    Without layers and norm the model has to give back the very tensor that it is given.
    """
    base = stage.model.base_model
    absent = {name: base.get_submodule(name) for name in (stage.names.layers, *stage.names.last)}
    states = torch.zeros((1, 1, stage.model.config.hidden_size), dtype=stage.model.dtype)
    for name in absent:
        base.set_submodule(name, torch.nn.ModuleList() if name == stage.names.layers else _PassOn())
    output = base(inputs_embeds=states, use_cache=False).last_hidden_state
    for name, module in absent.items():
        base.set_submodule(name, module)
    if output is not states:
        raise ConfigError(
            f"{manifest.id} ({stage.model.config.model_type}) cannot be divided into stages: it changes hidden "
            "states outside of its layers",
            remedy="use parallel: {tensor: N} alone",
        )


def _wanted(stage: StageModel) -> dict[str, str]:
    """Of each parameter that is loaded, the name of the stored tensor. Tied ones are one."""
    model, shard = stage.model, stage.shard
    tied: dict[str, str] = getattr(model, "all_tied_weights_keys", None) or {}
    own = dict(model.named_parameters())
    prefix = "" if model is model.base_model else f"{model.base_model_prefix}."
    stack = f"{prefix}{stage.names.layers}."
    wanted = {}
    for name in own:
        source = tied.get(name, name)
        if source != name and source in own:
            continue
        wanted[name] = _stored_name(source, stack, shard.first_layer)
    return wanted


def _stored_name(name: str, stack: str, first_layer: int) -> str:
    if not name.startswith(stack):
        return name
    index, _, rest = name.removeprefix(stack).partition(".")
    return f"{stack}{int(index) + first_layer}.{rest}"


def _load_weights(stage: StageModel, checkpoint: Checkpoint, device: str, progress: Progress) -> None:
    wanted = _wanted(stage)
    parameters = dict(stage.model.named_parameters())
    total_bytes = sum(_local_bytes(parameters[name]) for name in wanted)
    done_bytes = 0
    for name, stored in wanted.items():
        module_name, _, leaf = name.rpartition(".")
        module = stage.model.get_submodule(module_name)
        loaded = _read(checkpoint, stored, parameters[name], device)
        module.register_parameter(leaf, torch.nn.Parameter(loaded, requires_grad=False))
        done_bytes += _local_bytes(parameters[name])
        progress.advance(done_bytes, total_bytes)


def _read(checkpoint: Checkpoint, stored: str, wanted: torch.Tensor, device: str) -> torch.Tensor:
    """What is stored, or of it the slice of this rank. Rows stay where they are mapped, columns are copied."""
    if not isinstance(wanted, DTensor):
        return checkpoint.read(stored, wanted.shape, slice(None)).to(device)
    if not all(type(each) is SplitDimension or each.is_replicate() for each in wanted.placements):
        raise ConfigError(
            f"{checkpoint.owner} packs several matrices into {stored}, which are not divided here",
            remedy="use parallel: {pipeline: N} alone",
        )
    sizes, offsets = compute_local_shape_and_global_offset(wanted.shape, wanted.device_mesh, wanted.placements)
    place = tuple(slice(start, start + size) for start, size in zip(offsets, sizes, strict=True))
    if list(sizes[1:]) == list(wanted.shape[1:]):
        local = checkpoint.read(stored, wanted.shape, place[0])
    else:
        local = checkpoint.copy(stored, wanted.shape, place)
    return DTensor.from_local(
        local.to(device),
        wanted.device_mesh,
        wanted.placements,
        run_check=False,
        shape=wanted.shape,
        stride=wanted.stride(),
    )


def _local_bytes(tensor: torch.Tensor) -> int:
    local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return local.numel() * local.element_size()
