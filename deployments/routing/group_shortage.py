"""Why a group of ranks finds no nodes: the first rank that has none beside those before it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deployments.routing.bundles import Bundles
from deployments.routing.shortage import FreeNode, Need, explain, suitable


@dataclass(frozen=True, slots=True)
class GroupNeed:
    """What each rank asks of Ray, and whether all ask for the same node."""

    ranks: tuple[Need, ...]
    on_one_node: bool

    @classmethod
    def of(cls, bundles: Bundles) -> GroupNeed:
        selectors: Sequence[Mapping[str, str]] = bundles.label_selectors or [{}] * len(bundles.bundles)
        ranks = (
            Need(resources, (selector,) if selector else ())
            for resources, selector in zip(bundles.bundles, selectors, strict=True)
        )
        return cls(tuple(ranks), bundles.strategy == "STRICT_PACK")


@dataclass(frozen=True, slots=True)
class _Attempt:
    """``num_placed`` ranks have a node; what all nodes have left."""

    num_placed: int
    left: tuple[FreeNode, ...]


def is_group_lacking(need: GroupNeed, nodes: Sequence[FreeNode]) -> bool:
    """Whether some rank has no node beside the others."""
    return _attempt(need, nodes).num_placed < len(need.ranks)


def explain_group(need: GroupNeed, nodes: Sequence[FreeNode] | None) -> str:
    """Which rank cannot get what. ``nodes`` None: what is free is not known."""
    num_ranks = len(need.ranks)
    if nodes is None:
        where = "one node" if need.on_one_node else "nodes"
        return f"it needs {where} for {num_ranks} ranks; of rank 0, {explain(need.ranks[0], None)}"
    attempt = _attempt(need, nodes)
    if attempt.num_placed == num_ranks:
        return f"room for {num_ranks} ranks is free in sum, but Ray places them nowhere: is there a GPU for each?"
    rank = attempt.num_placed
    beside = "" if not rank else f" beside {'rank 0' if rank == 1 else f'ranks 0 to {rank - 1}'}"
    on = " on the node with most room" if need.on_one_node and nodes else ""
    return f"rank {rank} of {num_ranks} finds no room{beside}{on}: {explain(need.ranks[rank], attempt.left)}"


def _attempt(need: GroupNeed, nodes: Sequence[FreeNode]) -> _Attempt:
    """What Ray would do, as far as its account of the nodes tells."""
    if not need.on_one_node:
        return _fill(need.ranks, nodes)
    return max((_fill(need.ranks, [node]) for node in nodes), key=_num_placed, default=_Attempt(0, ()))


def _fill(needs: Sequence[Need], nodes: Sequence[FreeNode]) -> _Attempt:
    """One rank after the other, each on the node of the last one if that has room."""
    left = list(nodes)
    for rank, need in enumerate(needs):
        able = (node for node in suitable(need, left) if node.holds(need))
        node = next(able, None)
        if node is None:
            return _Attempt(rank, tuple(left))
        left.remove(node)
        left.insert(0, node.without(need))
    return _Attempt(len(needs), tuple(left))


def _num_placed(attempt: _Attempt) -> int:
    return attempt.num_placed
