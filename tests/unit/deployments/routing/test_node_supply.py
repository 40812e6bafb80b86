"""What the autoscaler does about a replica without a node, and what requests for it are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deployments.routing.bundles import Bundles
from deployments.routing.node_supply import DECISION_S, NodeSupply
from deployments.routing.shortage import FreeNode
from deployments.routing.states import PLACEMENT_GRACE_S, ApplicationView, ReplicaView, read_status

NOW = 1_000_000.0
GIB = 1024.0**3
NEEDED = {"CPU": 0.6, "memory": 1.5 * GIB, "GPU": 0.0}
NODES = [FreeNode({"CPU": 0.4, "memory": 4 * GIB})]
LACKING = "it needs 0.6 CPUs; the largest free on one node is 0.4 CPUs"
GROUP = Bundles(({"CPU": 1.0, "memory": GIB}, {"CPU": 1.0, "memory": 2 * GIB}), "PACK")


def status(
    supply: NodeSupply | None, waited_s: float = PLACEMENT_GRACE_S + 0.1, bundles: Bundles | None = None
) -> tuple[str, str | None]:
    replica = ReplicaView("STARTING", placed=False, started_unix_s=NOW - waited_s)
    view = ApplicationView("m@1", "DEPLOYING", "", 1, (replica,), NEEDED)
    return read_status(replace(view, bundles=bundles), NODES, NOW, supply)


def test_a_replica_for_which_a_node_comes_is_starting() -> None:
    said = f"Ray's autoscaler adds 2 nodes (gpu, spot): {LACKING}"
    assert status(NodeSupply({"spot": 1, "gpu": 1})) == ("starting", said)
    assert status(NodeSupply({"gpu": 1}), waited_s=600) == (
        "starting",
        f"Ray's autoscaler adds 1 node (gpu): {LACKING}",
    )


def test_the_autoscaler_has_time_to_decide() -> None:
    assert status(NodeSupply(), DECISION_S - 0.1) == ("starting", "its replica is loading")
    said = f"it cannot be scheduled: {LACKING}; Ray's autoscaler adds no node"
    assert status(NodeSupply(), DECISION_S + 0.1) == ("waiting", said)


def test_what_no_node_would_hold_is_refused_at_once() -> None:
    refused = ({"memory": 1.5 * GIB, "CPU": 0.60001},)
    said = f"it cannot be scheduled: {LACKING}; Ray's autoscaler adds 1 node (gpu)"
    assert status(NodeSupply({"gpu": 1}, (refused,))) == ("waiting", said)
    assert status(NodeSupply({"gpu": 1}, (({"CPU": 0.6},), ({"CPU": 8.0},))))[0] == "starting"


def test_a_group_is_refused_as_a_whole() -> None:
    one, two = GROUP.bundles
    assert status(NodeSupply({"gpu": 1}, ((two, one),)), bundles=GROUP)[0] == "waiting"
    for others in ((one,), (one, one), (one, two, two)):
        assert status(NodeSupply({"gpu": 1}, (others,)), bundles=GROUP)[0] == "starting"


def test_without_an_autoscaler_nothing_is_waited_for() -> None:
    assert status(None) == ("waiting", f"it cannot be scheduled: {LACKING}")


def test_a_node_that_did_not_come_is_told_of() -> None:
    supply = NodeSupply({"gpu": 1}, failures=("gpu: quota", "gpu: no capacity in us-west-2a"))
    said = "Ray's autoscaler adds 1 node (gpu); before, it failed to: gpu: no capacity in us-west-2a"
    assert str(supply) == said


@pytest.mark.parametrize("number", [0, 1, 2])
def test_how_many_nodes_come(number: int) -> None:
    words = {0: "no node", 1: "1 node (gpu)", 2: "2 nodes (gpu)"}
    assert str(NodeSupply({"gpu": number} if number else {})) == f"Ray's autoscaler adds {words[number]}"
