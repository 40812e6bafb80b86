from __future__ import annotations

import pytest

from cluster.planning.chosen_nodes import NodeOptions, choose_nodes
from deployments.args import ModelArgs
from models.errors import ConfigError
from tests.unit.cluster.clusters import GIB

MODELS = [
    ModelArgs(model="a", node_memory=3 * GIB),
    ModelArgs(model="b", node_memory=5 * GIB),
    ModelArgs(model="c"),
]


def test_nodes_are_as_large_as_the_models_say_unless_an_option_says_more() -> None:
    (node,) = choose_nodes(NodeOptions(), MODELS)
    assert node.memory_bytes == 5 * GIB
    (node,) = choose_nodes(NodeOptions(node_memory=GIB), MODELS)
    assert node.memory_bytes == GIB


def test_without_anything_it_is_this_machine() -> None:
    (node,) = choose_nodes(NodeOptions(), MODELS[2:])
    assert node.name == "this-machine"


@pytest.mark.parametrize("options", [{"device": "t4-16gb"}, {"num_nodes": 1}, {"node_memory": 1}])
def test_a_live_cluster_has_the_nodes_that_it_has(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="give --address alone"):
        choose_nodes(NodeOptions(address="http://127.0.0.1:1", **options), MODELS)  # type: ignore[arg-type]
