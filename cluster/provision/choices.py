"""The machines that a node may be, asked for one after the other. Pure, but for what is asked.

Ray 2.60's autoscaler remembers no refusal: of several node types it asks for the first again and again, however
often the cloud has none. So one node type has several machines, and the provider goes through them.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from typing import Any

logger = logging.getLogger(__name__)

CHOICES = "choices"
# Nodes by their ids; nothing from providers that do not say.
Started = dict[str, Any] | None
NodeConfig = Mapping[str, Any]


def configurations(node_config: NodeConfig) -> list[dict[str, Any]]:
    """The plain ``node_config`` of each machine in ``choices``, the preferred first.

    Outside of ``choices`` stand the fields of the first one too, for readers, and what Ray adds for all of them.
    """
    shared = {name: value for name, value in node_config.items() if name != CHOICES}
    choices = node_config.get(CHOICES)
    if not choices:
        return [shared]
    shared = _without(shared, choices[0])
    return [merged(shared, choice) for choice in choices]


def merged(fields: NodeConfig, more: NodeConfig) -> dict[str, Any]:
    """A copy of ``fields`` with ``more``, which goes first; mappings in both are merged likewise."""
    result = copy.deepcopy(dict(fields))
    for name, value in more.items():
        both = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
        result[name] = merged(result[name], value) if both else copy.deepcopy(value)
    return result


def _without(fields: NodeConfig, own: NodeConfig) -> dict[str, Any]:
    """``fields`` but for those of ``own``; of mappings in both, what is left of them, if anything."""
    left: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in own:
            left[name] = value
        elif isinstance(value, Mapping) and (rest := _without(value, own[name])):
            left[name] = rest
    return left


def start_each(node_config: NodeConfig, count: int, start: Callable[[dict[str, Any]], Started]) -> dict[str, Any]:
    """``count`` nodes, one after the other, each from the first machine that can be had; by their ids.

    So where a cloud has two spot machines left for four nodes, the other two are bought on demand.
    """
    started: dict[str, Any] = {}
    for _ in range(count):
        started |= first_that_starts(node_config, start) or {}
    return started


def first_that_starts(node_config: NodeConfig, start: Callable[[dict[str, Any]], Started]) -> Started:
    """What ``start`` answers for the first machine that it can start; the last one's error when it can start none.

    Any refusal leads to the next machine: clouds have many words for having none.
    """
    *others, last = configurations(node_config)
    for configuration in others:
        try:
            return start(configuration)
        except Exception as error:  # noqa: BLE001 - of whatever class Ray and the cloud's library raise
            logger.warning("%s is refused, and the next machine asked for: %s", _named(configuration), error)
    return start(last)


def _named(configuration: NodeConfig) -> str:
    """The fields in which machines differ."""
    told = ("InstanceType", "InstanceMarketOptions", "machineType", "scheduling", "azure_arm_parameters")
    return ", ".join(f"{name} {configuration[name]}" for name in told if name in configuration)
