"""Whether groups can be updated while they serve."""

from __future__ import annotations

import pytest

from cluster.planning.updates import rank_changes, update_notes
from tests.unit.cluster.clusters import application, gpu_node, planned

NODES = (gpu_node("gpu-0", 4),)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"parallel": {"pipeline": 2}}, ["a second group has room"]),
        ({"parallel": {"tensor": 3}}, ["an update needs room for 3 more ranks of up to"]),
        ({"parallel": {"tensor": 3}, "update": "replace"}, []),
        ({"parallel": {"pipeline": 2}, "min_replicas": 0}, []),
        ({}, []),
    ],
)
def test_each_group_says_whether_a_second_one_has_room(args: dict[str, object], says: list[str]) -> None:
    notes = list(update_notes(planned(NODES, application("smollm2-135m", memory="60%", **args))))
    assert [said in note for said, note in zip(says, notes, strict=True)] == [True] * len(says)


def test_a_place_of_its_own_for_each_group_leaves_none_for_an_update() -> None:
    places = [{"node": "gpu-0", "devices": [gpu]} for gpu in (0, 1)]
    plan = planned(NODES, application("smollm2-135m", parallel={"pipeline": 2}, placement=places))
    (note,) = update_notes(plan)
    assert "update: replace" in note


def test_another_number_of_ranks_is_told() -> None:
    before = planned(NODES, application("smollm2-135m", parallel={"pipeline": 2}))
    after = planned(NODES, application("smollm2-135m", parallel={"pipeline": 3}))
    assert list(rank_changes(before, before)) == []
    (change,) = rank_changes(before, after)
    assert change.startswith("smollm2-135m@1: 2 -> 3 ranks (write it as a version of its own")
