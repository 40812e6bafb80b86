"""What the autoscaler does about a replica without a node, and what requests for it are told."""

from __future__ import annotations

import pytest

from deployments.routing.bundles import Bundles
from deployments.routing.node_supply import DECISION_S, Demand, NodeAutoscaler, NodeSupply
from deployments.routing.shortage import FreeNode
from deployments.routing.states import PLACEMENT_GRACE_S, ApplicationView, ReplicaView, read_status

NOW = 1_000_000.0
GIB = 1024.0**3
NEEDED = {"CPU": 0.6, "memory": 1.5 * GIB, "GPU": 0.0}
NODES = [FreeNode({"CPU": 0.4, "memory": 4 * GIB})]
LACKING = "it needs 0.6 CPUs; the largest free on one node is 0.4 CPUs"
GROUP = Bundles(({"CPU": 1.0, "memory": GIB}, {"CPU": 1.0, "memory": 2 * GIB}), "PACK")


def status(
    autoscaler: NodeAutoscaler | None, waited_s: float = PLACEMENT_GRACE_S + 0.1, bundles: Bundles | None = None
) -> tuple[str, str | None]:
    """Of a model with one replica for which Ray seeks a node."""
    demand = bundles.bundles if bundles else (NEEDED,)
    return read_status(view(waited_s, bundles), NODES, NOW, NodeSupply((demand,), autoscaler))


def view(waited_s: float, bundles: Bundles | None = None) -> ApplicationView:
    replica = ReplicaView("STARTING", placed=False, started_unix_s=NOW - waited_s)
    return ApplicationView("m@1", "DEPLOYING", "", 1, (replica,), NEEDED, bundles=bundles)


def test_a_replica_for_which_a_node_comes_is_starting() -> None:
    said = f"Ray's autoscaler adds 2 nodes (gpu, spot): {LACKING}"
    for waited_s in (0.0, 600.0):
        assert status(NodeAutoscaler({"spot": 1, "gpu": 1}), waited_s) == ("starting", said)


def test_the_autoscaler_has_time_to_decide() -> None:
    assert status(NodeAutoscaler(), DECISION_S - 0.1) == ("starting", "its replica is loading")
    said = f"it cannot be scheduled: {LACKING}; Ray's autoscaler adds no node"
    assert status(NodeAutoscaler(), DECISION_S + 0.1) == ("waiting", said)


def test_what_no_node_would_hold_is_refused_at_once() -> None:
    refused = ({"memory": 1.5 * GIB, "CPU": 0.60001},)
    said = f"it cannot be scheduled: {LACKING}; Ray's autoscaler adds 1 node (gpu)"
    assert status(NodeAutoscaler({"gpu": 1}, (refused,))) == ("waiting", said)
    assert status(NodeAutoscaler({"gpu": 1}, (({"CPU": 0.6},), ({"CPU": 8.0},))))[0] == "starting"


def test_a_group_is_refused_as_a_whole() -> None:
    one, two = GROUP.bundles
    assert status(NodeAutoscaler({"gpu": 1}, ((two, one),)), bundles=GROUP)[0] == "waiting"
    for others in ((one,), (one, one), (one, two, two)):
        assert status(NodeAutoscaler({"gpu": 1}, (others,)), bundles=GROUP)[0] == "starting"


def test_without_an_autoscaler_nothing_is_waited_for() -> None:
    assert status(None) == ("waiting", f"it cannot be scheduled: {LACKING}")


@pytest.mark.parametrize("sought", [(), (({"CPU": 0.6},),), (({**NEEDED, "GPU": 1.0},),)])
def test_a_replica_that_ray_has_a_node_for_is_starting(sought: tuple[Demand, ...]) -> None:
    """Its process may take long to start, and what it needs is not free any more."""
    assert read_status(view(600), NODES, NOW, NodeSupply(sought)) == ("starting", "its replica is loading")


def test_a_resource_that_serve_makes_up_does_not_count() -> None:
    demand = ({**NEEDED, "__serve_max_replicas_per_node": 0.5},)
    assert read_status(view(600), NODES, NOW, NodeSupply((demand,)))[0] == "waiting"


def test_a_node_that_did_not_come_is_told_of() -> None:
    autoscaler = NodeAutoscaler({"gpu": 1}, failures=("gpu: quota", "gpu: no capacity in us-west-2a"))
    said = "Ray's autoscaler adds 1 node (gpu); before, it failed to: gpu: no capacity in us-west-2a"
    assert str(autoscaler) == said


@pytest.mark.parametrize("number", [0, 1, 2])
def test_how_many_nodes_come(number: int) -> None:
    words = {0: "no node", 1: "1 node (gpu)", 2: "2 nodes (gpu)"}
    assert str(NodeAutoscaler({"gpu": number} if number else {})) == f"Ray's autoscaler adds {words[number]}"
