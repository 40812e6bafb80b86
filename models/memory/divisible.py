"""By which tensor and pipeline parallel sizes a model can be divided, and why not by others. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import gcd

from models.errors import ConfigError
from models.manifest import ArchitectureFacts, Manifest
from models.memory.account import ENCODERS, SCALED_FAMILIES, TENSOR_FAMILIES, weight_account
from models.memory.kv_cache import layer_types, why_not_paged
from models.memory.terms import required_architecture
from models.parallel.layout import Degree
from models.spec import EngineName


def check_degree(manifest: Manifest, engine: EngineName, degree: Degree) -> None:
    """ConfigError, with the sizes that are possible, when the model cannot be divided so."""
    reason = why_not(manifest, engine, degree)
    if reason is None:
        return
    raise ConfigError(f"parallel of {manifest.id} is {degree}, but {reason}", remedy=_possible(manifest, engine))


def why_not(manifest: Manifest, engine: EngineName, degree: Degree) -> str | None:
    """What stands against the degree; None when nothing does."""
    if degree.num_ranks == 1:
        return None
    return (
        why_whole(manifest, engine)
        or why_not_tensor(manifest, engine, degree.tensor)
        or why_not_pipeline(manifest, degree.pipeline)
    )


def why_whole(manifest: Manifest, engine: EngineName) -> str | None:
    """Why the model cannot be divided at all; None when it can be."""
    architecture = manifest.architecture
    if engine == "onnx" or architecture is None:
        return "a graph is one piece"
    if architecture.quantization is not None:
        return "quantised weights are not divided"
    if engine == "embedding" and architecture.model_type not in ENCODERS:
        return f"of encoders only {', '.join(sorted(ENCODERS))} are divided, not {architecture.model_type}"
    if engine != "embedding" and (own := why_not_paged(architecture)):
        return f"it has {own}"
    if weight_account(manifest) is None:
        return "its tensors are not known to be one stack of layers"
    return None


def why_not_tensor(manifest: Manifest, engine: EngineName, tensor: int) -> str | None:
    """Why the matrices of a model that can be divided cannot be cut into ``tensor`` slices."""
    if tensor == 1:
        return None
    architecture = required_architecture(manifest)
    if engine == "embedding":
        return "the embedding engine divides by layers only: tensor is 1"
    if architecture.experts is not None:
        return "the packed experts of a mixture are not cut into slices: tensor is 1"
    if architecture.model_type not in TENSOR_FAMILIES:
        return f"the matrices of {architecture.model_type} are not cut into slices: tensor is 1"
    rest = [name for size, name in _divided(architecture) if size % tensor]
    return f"{tensor} does not divide {_listed(rest)}" if rest else None


def why_not_pipeline(manifest: Manifest, pipeline: int) -> str | None:
    """Why the layers of a model that can be divided do not make ``pipeline`` stages."""
    architecture = required_architecture(manifest)
    units = stage_units(architecture)
    if pipeline > 1 and architecture.model_type in SCALED_FAMILIES:
        return f"{architecture.model_type} changes hidden states before its first layer: pipeline is 1"
    if pipeline <= len(units):
        return None
    if len(units) == architecture.num_hidden_layers:
        return f"{len(units)} layers do not make {pipeline} stages"
    return (
        f"its {architecture.num_hidden_layers} layers make at most {len(units)} stages with the same mix of "
        f"{' and '.join(dict.fromkeys(layer_types(architecture)))}, not {pipeline}"
    )


def stage_units(architecture: ArchitectureFacts) -> tuple[int, ...]:
    """The layers after which a stage may end.

    The pages of all kinds of attention lie in one array, in which a step's tokens have the same places on all
    ranks. That holds where each stage has its kinds of layers in the proportion of the whole model.
    """
    kinds = layer_types(architecture)
    num_layers = len(kinds)
    counts = [accumulate([each == kind for each in kinds]) for kind in dict.fromkeys(kinds)]
    totals = [kinds.count(kind) for kind in dict.fromkeys(kinds)]
    return tuple(
        stop
        for stop, *sums in zip(range(1, num_layers + 1), *counts, strict=True)
        if all(num_layers * seen == stop * total for seen, total in zip(sums, totals, strict=True))
    )


def _divided(architecture: ArchitectureFacts) -> Iterator[tuple[int, str]]:
    """What each slice of a matrix has its share of."""
    heads, kv_heads = architecture.num_attention_heads, architecture.num_key_value_heads
    vocabulary, width = architecture.vocab_size, architecture.intermediate_size or 0
    yield heads, f"{heads} heads"
    yield kv_heads, f"{kv_heads} KV heads"
    yield vocabulary, f"a vocabulary of {vocabulary:,}"
    yield width, f"an MLP of {width:,}"


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _possible(manifest: Manifest, engine: EngineName) -> str:
    if why_whole(manifest, engine):
        return "leave parallel out: it runs on one device"
    architecture = required_architecture(manifest)
    common = gcd(*(size for size, _ in _divided(architecture)))
    tensors = [str(n) for n in range(1, common + 1) if why_not_tensor(manifest, engine, n) is None]
    return f"possible are tensor {', '.join(tensors)} and pipeline 1 to {len(stage_units(architecture))}"
