from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.parallel.layout import Degree, GroupLayout


@st.composite
def layouts(draw: st.DrawFn) -> GroupLayout:
    runs = draw(st.lists(st.integers(1, 9), min_size=1, max_size=6))
    stops = tuple(sum(runs[: number + 1]) for number in range(len(runs)))
    return GroupLayout(Degree(draw(st.integers(1, 5)), len(runs)), stops)


@given(layouts())
def test_the_ranks_hold_every_slice_of_every_layer_once(layout: GroupLayout) -> None:
    shards = [layout.shard(rank) for rank in range(layout.num_ranks)]
    held = [
        (layer, shard.tensor_index)
        for shard in shards
        for layer in range(shard.first_layer, shard.first_layer + shard.num_layers)
    ]
    assert sorted(held) == [
        (layer, index) for layer in range(layout.stops[-1]) for index in range(layout.degree.tensor)
    ]
    assert len(shards) == layout.degree.tensor * layout.degree.pipeline


@given(layouts())
def test_rank_and_shard_are_each_others_inverse(layout: GroupLayout) -> None:
    for number in range(layout.num_ranks):
        shard = layout.shard(number)
        assert layout.rank(shard.stage, shard.tensor_index) == number
        assert layout.ranks_of(shard.stage)[shard.tensor_index] == number


@given(layouts())
def test_the_leader_holds_the_end_of_the_model(layout: GroupLayout) -> None:
    leader = layout.shard(0)
    assert leader.is_last
    assert leader.stop_layer == layout.stops[-1]
    assert leader.is_first == (layout.degree.pipeline == 1)
    firsts = [rank for rank in range(layout.num_ranks) if layout.shard(rank).is_first]
    assert firsts == list(layout.ranks_of(0))


@pytest.mark.parametrize("stops", [(2,), (2, 2), (3, 2), (0, 4), (1, 2, 3)])
def test_stages_that_are_no_runs_of_layers_are_refused(stops: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no 2 runs of layers"):
        GroupLayout(Degree(1, 2), stops)


def test_a_shard_says_what_it_is() -> None:
    layout = GroupLayout(Degree(2, 2), (3, 8))
    assert str(layout.shard(1)) == "layers 3-7, slice 2/2"
    assert str(GroupLayout(Degree(1, 2), (3, 8)).shard(1)) == "layers 0-2"
    assert str(layout.degree) == "tensor 2 x pipeline 2"
