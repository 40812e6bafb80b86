"""Which of a model's tensors are in which layer, before the layers or after them, by the names of the tensors.

These are the names of transformers' decoders (``model.layers.0.self_attn.q_proj.weight``) and of its encoders of
BERT's kind (``encoder.layer.0.output.dense.weight``), with the name of the base model before them or without it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from itertools import groupby

from models.manifest import LayerBytes, WeightAccount
from models.safetensors_file import StoredTensor

_LAYER = re.compile(r"(?:\w+\.)?(?:layers|encoder\.layer)\.(\d+)\.(.+)")
_OUTSIDE = re.compile(
    r"(?:\w+\.)?(?:(?P<embedding>embed_tokens|embeddings)|(?P<norm>norm)|(?P<head>lm_head)|(?P<unused>pooler))\..+"
)
# What tensor parallelism divides in the families of ``models.memory.divisible``, as transformers' plans say.
_ROWS = re.compile(r"(?:self_attn\.[qkv]_proj|mlp\.(?:gate|up)_proj)\.(?:weight|bias)")
_COLUMNS = re.compile(r"(?:self_attn\.o_proj|mlp\.down_proj)\.weight")


def account_for(tensors: Iterable[StoredTensor]) -> WeightAccount | None:
    """None unless every tensor has its place in one stack of layers, numbered from 0 on."""
    outside: dict[str, int] = defaultdict(int)
    layers: dict[int, list[tuple[str, int]]] = defaultdict(list)
    for tensor in tensors:
        if match := _LAYER.fullmatch(tensor.name):
            layers[int(match[1])].append((match[2], tensor.num_bytes))
        elif match := _OUTSIDE.fullmatch(tensor.name):
            outside[str(match.lastgroup)] += tensor.num_bytes
        else:
            return None
    if not outside["embedding"] or not layers or sorted(layers) != list(range(len(layers))):
        return None
    return WeightAccount(
        embedding_bytes=outside["embedding"],
        layers=_runs(_layer_bytes(layers[number]) for number in range(len(layers))),
        norm_bytes=outside["norm"],
        head_bytes=outside["head"],
    )


def _layer_bytes(tensors: Iterable[tuple[str, int]]) -> LayerBytes:
    sizes = dict(tensors)
    return LayerBytes(
        bytes=sum(sizes.values()),
        row_bytes=sum(size for name, size in sizes.items() if _ROWS.fullmatch(name)),
        column_bytes=sum(size for name, size in sizes.items() if _COLUMNS.fullmatch(name)),
    )


def _runs(layers: Iterable[LayerBytes]) -> tuple[LayerBytes, ...]:
    equal = ((layer, sum(1 for _ in group)) for layer, group in groupby(layers))
    return tuple(layer.model_copy(update={"num_layers": number}) for layer, number in equal)
