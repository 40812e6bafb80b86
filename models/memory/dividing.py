"""How a degree divides a model: its layers between the stages. Pure."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

from models.memory.account import layer_bytes, required_account
from models.memory.divisible import check_degree, stage_units
from models.memory.sizing import Replica, sum_bytes
from models.memory.split import split_units
from models.memory.terms import required_architecture
from models.parallel.layout import Degree, GroupLayout, Shard
from models.spec import Limits


def divide(replica: Replica, limits: Limits, degree: Degree) -> Replica:
    """The replica as a group in which the rank with most bytes has as few as can be, in one stage or several.

    The KV cache that ``limits`` need is counted with each layer. ConfigError when the model cannot be divided so.
    """
    if degree.num_ranks == 1:
        return replica
    check_degree(replica.manifest, replica.engine, degree)
    return dataclasses.replace(replica, group=GroupLayout(degree, _stops(replica, limits, degree)))


def _stops(replica: Replica, limits: Limits, degree: Degree) -> tuple[int, ...]:
    units = stage_units(required_architecture(replica.manifest))
    if degree.pipeline == 1:
        return units[-1:]
    layers = _bytes_of_layers(replica, limits, degree.tensor)
    unit_bytes = [sum(layers[start:stop]) for start, stop in pairwise((0, *units))]
    stops = split_units(unit_bytes, degree.pipeline, *_bytes_at_ends(replica, limits, degree))
    return tuple(units[stop - 1] for stop in stops)


def _bytes_of_layers(replica: Replica, limits: Limits, tensor: int) -> list[int]:
    """Of one slice of each layer: its weights, and its part of the KV cache."""
    layers, cache = required_account(replica.manifest).each_layer, replica.layout(limits)
    cache_bytes = 0 if cache is None else cache.total_bytes(replica.num_pages(limits)) // (len(layers) * tensor)
    return [layer_bytes(layer, tensor) + cache_bytes for layer in layers]


def _bytes_at_ends(replica: Replica, limits: Limits, degree: Degree) -> tuple[int, int]:
    """What the first stage holds beside its layers, and what the last does, whose first rank leads.

    The same layers on either end differ by nothing else. What vLLM's own processes weigh beside its workers is in
    the memory of the node that all ranks share, and no reason to give the leader fewer layers.
    """
    embedding_bytes = required_account(replica.manifest).embedding_bytes // degree.tensor
    num_layers = required_architecture(replica.manifest).num_hidden_layers
    length, num_pages = replica.model_len(limits), replica.num_pages(limits)
    at_first, at_last = (
        sum_bytes(
            term
            for term in replica.rank(Shard(rank, stage, 0, 0, num_layers, degree)).terms(limits, length, num_pages)
            if term.name != "runtime"
        )
        for rank, stage in ((degree.tensor, 0), (0, degree.pipeline - 1))
    )
    return embedding_bytes, embedding_bytes + at_last - at_first
