"""Each rank of a group has a GPU of its own, on the node where Ray has put it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.args import Place
from deployments.group_places import GroupClaim, GroupPlaces
from deployments.place_ledger import PlaceLedger
from models.errors import ConfigError
from models.parallel.layout import Degree
from models.types import VersionId

MODEL = VersionId("m", "1")


def place(node: str, *devices: int) -> Place:
    return Place(node=node, devices=devices)


# Two groups of two stages with two ranks each: one on a and b, the other on b and a.
CROSSWISE = GroupPlaces(
    MODEL, (place("a", 0, 1), place("b", 0, 1), place("b", 2, 3), place("a", 2, 3)), Degree(2, 2)
)


def claim(places: GroupPlaces, folder: Path, rank_nodes: str) -> dict[int, tuple[str, int]]:
    """What all nodes of a group claim: the node and GPU of each rank."""
    gpus: dict[int, tuple[str, int]] = {}
    for node in sorted(set(rank_nodes)):
        found = claim_on(places, folder, rank_nodes, node)
        gpus |= {rank: (node, gpu) for rank, gpu in found.gpus.items()}
    return gpus


def claim_on(places: GroupPlaces, folder: Path, rank_nodes: str, node: str) -> GroupClaim:
    found = places.claim(PlaceLedger(folder / node), rank_nodes, node, wait_s=0)
    KEPT.append(found)
    return found


KEPT: list[GroupClaim] = []


@pytest.fixture(autouse=True)
def released() -> Iterator[None]:
    yield
    while KEPT:
        KEPT.pop().claim.release()


def test_each_rank_takes_the_gpu_of_its_place(tmp_path: Path) -> None:
    assert claim(CROSSWISE, tmp_path, "aabb") == {0: ("a", 0), 1: ("a", 1), 2: ("b", 0), 3: ("b", 1)}
    assert claim(CROSSWISE, tmp_path, "bbaa") == {0: ("b", 2), 1: ("b", 3), 2: ("a", 2), 3: ("a", 3)}


def test_groups_that_ray_has_mixed_take_the_places_of_each_other(tmp_path: Path) -> None:
    places = GroupPlaces(MODEL, (place("a", 0), place("b", 0), place("c", 1), place("d", 1)), Degree(1, 2))
    assert claim(places, tmp_path, "ad") == {0: ("a", 0), 1: ("d", 1)}
    assert claim(places, tmp_path, "cb") == {0: ("c", 1), 1: ("b", 0)}


def test_no_gpu_is_taken_twice_by_one_group(tmp_path: Path) -> None:
    """The first stage of one group lies where the second of the other does."""
    places = GroupPlaces(MODEL, (place("a", 0), place("a", 1), place("a", 1), place("a", 0)), Degree(1, 2))
    for _ in range(2):
        gpus = claim(places, tmp_path, "aa")
        assert {gpu for _, gpu in gpus.values()} == {0, 1}


def test_a_restarted_group_finds_its_places_again(tmp_path: Path) -> None:
    before = [claim_on(CROSSWISE, tmp_path, "aabb", node) for node in "ab"]
    claim(CROSSWISE, tmp_path, "bbaa")
    for each in before:
        each.claim.release()
    assert [claim_on(CROSSWISE, tmp_path, "aabb", node).gpus for node in "ab"] == [each.gpus for each in before]


def test_one_group_too_many_on_a_node_leaves_nothing_locked(tmp_path: Path) -> None:
    places = GroupPlaces(MODEL, (place("a", 0), place("a", 1)), Degree(1, 2))
    held = claim_on(places, tmp_path, "ab", "a")  # its second stage came to be elsewhere
    assert held.gpus == {0: 0}
    with pytest.raises(ConfigError, match="all 2 places of m@1 on this node are taken"):
        claim_on(places, tmp_path, "aa", "a")
    held.claim.release()
    assert claim_on(places, tmp_path, "aa", "a").gpus == {0: 0, 1: 1}


def test_a_stage_that_ray_has_divided_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"divided ranks 2 to 3 of m@1, .*, between the nodes a, b"):
        claim_on(CROSSWISE, tmp_path, "aaba", "a")


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_every_place_is_of_as_many_ranks_as_it_has_gpus(tensor: int, pipeline: int, num_groups: int) -> None:
    names = tuple(place(str(index), *range(tensor)) for index in range(num_groups * pipeline))
    places = GroupPlaces(MODEL, names, Degree(tensor, pipeline))
    held = [each for rank in range(tensor * pipeline) for each in places.of_rank(rank)]
    assert sorted(each.node for each in held) == sorted(each.node for each in names for _ in range(tensor))
    for rank in range(tensor * pipeline):
        assert [names.index(each) // pipeline for each in places.of_rank(rank)] == list(range(num_groups))
