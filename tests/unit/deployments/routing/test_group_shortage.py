"""Which rank of a group finds no node."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from deployments.routing.bundles import Bundles, Strategy
from deployments.routing.group_shortage import GroupNeed, explain_group, is_group_lacking
from deployments.routing.shortage import FreeNode, Need, is_lacking
from models.hardware import Device

GIB = 1024**3
GPU = Device("test", "cuda", 10 * GIB, 10 * GIB)
AMOUNTS = st.dictionaries(st.sampled_from(["CPU", "GPU"]), st.integers(0, 4).map(float), max_size=2)


def node(name: str, **resources: float) -> FreeNode:
    return FreeNode(resources, GPU, {"node": name})


def group(*bundles: Mapping[str, float], strategy: Strategy = "PACK", names: str = "") -> GroupNeed:
    selectors = tuple({"node": name} for name in names)
    return GroupNeed.of(Bundles(bundles, strategy, selectors))


def test_ranks_may_lie_on_different_nodes() -> None:
    need = group({"GPU": 1.0}, {"GPU": 1.0}, {"GPU": 1.0})
    nodes = [node("a", GPU=2.0), node("b", GPU=1.0)]
    assert not is_group_lacking(need, nodes)
    assert explain_group(need, nodes) == (
        "room for 3 ranks is free in sum, but Ray places them nowhere: is there a GPU for each?"
    )


def test_the_first_rank_without_a_node_is_named_with_what_the_others_leave() -> None:
    need = group({"GPU": 0.8, "CPU": 1.0}, {"GPU": 0.7, "CPU": 1.0}, {"GPU": 0.6, "CPU": 1.0})
    nodes = [node("a", GPU=1.0, CPU=8.0), node("b", GPU=1.0, CPU=8.0)]
    assert is_group_lacking(need, nodes)
    assert explain_group(need, nodes) == (
        "rank 2 of 3 finds no room beside ranks 0 to 1: "
        "it needs 6.0 GiB of GPU memory; the largest free on one node is 3.0 GiB of GPU memory"
    )


def test_a_rank_keeps_to_its_nodes() -> None:
    need = group({"CPU": 1.0}, {"CPU": 1.0}, names="ab")
    assert not is_group_lacking(need, [node("a", CPU=1.0), node("b", CPU=1.0)])
    assert explain_group(need, [node("a", CPU=4.0), node("c", CPU=4.0)]) == (
        "rank 1 of 2 finds no room beside rank 0: no node has the labels that it asks for: node: b"
    )


def test_ranks_that_share_a_node_are_counted_on_one() -> None:
    need = group({"CPU": 2.0}, {"CPU": 2.0}, strategy="STRICT_PACK")
    assert not is_group_lacking(need, [node("a", CPU=3.0), node("b", CPU=4.0)])
    nodes = [node("a", CPU=1.0), node("b", CPU=3.0)]
    assert explain_group(need, nodes) == (
        "rank 1 of 2 finds no room beside rank 0 on the node with most room: "
        "it needs 2 CPUs; the largest free on one node is 1 CPU"
    )


def test_without_nodes_the_first_rank_finds_none() -> None:
    need = group({"CPU": 2.0}, {"CPU": 2.0}, strategy="STRICT_PACK", names="aa")
    assert explain_group(need, []) == (
        "rank 0 of 2 finds no room: no node has the labels that it asks for: node: a"
    )


def test_what_is_free_need_not_be_known() -> None:
    need = group({"memory": 2.0 * GIB}, {"memory": 1.0 * GIB}, strategy="STRICT_PACK")
    assert explain_group(need, None) == "it needs one node for 2 ranks; of rank 0, it needs 2.0 GiB of memory"


@given(st.lists(AMOUNTS, min_size=1, max_size=4), st.lists(AMOUNTS, max_size=3), st.booleans())
def test_a_group_lacks_what_any_of_its_ranks_lacks(
    needed: list[dict[str, float]], free: list[dict[str, float]], on_one_node: bool
) -> None:
    nodes = [FreeNode(each) for each in free]
    need = GroupNeed(tuple(map(Need, needed)), on_one_node)
    if any(is_lacking(rank, nodes) for rank in need.ranks):
        assert is_group_lacking(need, nodes)
    totals = {name: sum(each.get(name, 0) for each in needed) for name in ("CPU", "GPU")}
    fits_one = not is_lacking(Need(totals), nodes)
    assert not (fits_one and is_group_lacking(GroupNeed(need.ranks, on_one_node=True), nodes))
    if on_one_node:
        assert is_group_lacking(need, nodes) == (not fits_one)
    assert explain_group(need, nodes)
