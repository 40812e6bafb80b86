"""The ranks of a group land on the nodes and GPUs of their plan, on a Ray cluster whose GPUs are only numbers."""

from __future__ import annotations

import os
import signal
import time

from ray import serve

from deployments.live_nodes import free_nodes
from deployments.routing.serve_details import ServeDetails
from deployments.routing.states import read_status
from models.hardware import Node
from models.memory.plan import ANY_CPU
from models.placement.search import place
from models.placement.slots import Demand
from tests.integration.cluster import eventually
from tests.integration.gpu_nodes import H100, leaves_sockets_open, replica_pids, status
from tests.integration.group_probe import RankIs, start_group

pytestmark = leaves_sockets_open


def planned(num_ranks: int, num_parts: int, share: float, num_groups: int = 1) -> list[dict[str, object]]:
    """The places that the planner finds on nodes like these."""
    demands = [
        Demand(
            "m", replica, H100.name, int(share * H100.usable_bytes), 0, num_ranks, part=part, num_parts=num_parts
        )
        for replica in range(num_groups)
        for part in range(num_parts)
    ]
    placement = place(demands, [Node(name, 8, 1 << 40, H100, 2) for name in "ab"])
    slots = [placement.slots[demand.key] for demand in demands]
    return [{"node": slot.node, "devices": list(slot.devices)} for slot in slots]


def groups(name: str, num_groups: int, timeout_s: float = 90) -> list[tuple[RankIs, ...]]:
    """The ranks of each group, once so many run and each has answered, in the order of their first places."""
    handle = serve.get_app_handle(name)
    answers: dict[int, tuple[RankIs, ...]] = {}

    def all_answer() -> list[tuple[RankIs, ...]] | None:
        pids = replica_pids(name)
        if len(pids) != num_groups:
            return None
        ranks = handle.remote().result(timeout_s=30)
        answers[ranks[0].pid] = ranks
        return [answers[pid] for pid in pids] if pids <= answers.keys() else None

    found = eventually(all_answer, timeout_s, f"{num_groups} groups of {name} run: {serve.status()}")
    return sorted(found, key=lambda ranks: (ranks[0].node, ranks[0].gpu))


def slots(ranks: tuple[RankIs, ...]) -> list[tuple[str, str]]:
    assert [each.rank for each in ranks] == list(range(len(ranks)))
    return [(each.node, each.gpu) for each in ranks]


def written(places: list[dict[str, object]]) -> list[tuple[str, str]]:
    """Of all ranks, in their order."""
    return [(str(each["node"]), str(gpu)) for each in places for gpu in each["devices"]]  # type: ignore[attr-defined]


def test_stages_of_two_ranks_lie_on_the_nodes_of_the_plan(nodes: None, applications: None) -> None:
    places = planned(num_ranks=2, num_parts=2, share=0.6)
    assert {each["node"] for each in places} == {"a", "b"}
    for name, these in (("planned", places), ("turned", places[::-1])):
        started = start_group(name, (2, 2), H100, these, memory="60%")
        (ranks,) = groups(started, 1)
        assert slots(ranks) == written(these)
        assert len({each.pid for each in ranks}) == 4
        serve.delete(started)


def test_two_groups_have_their_own_places_and_a_killed_one_finds_its_own_again(
    nodes: None, applications: None
) -> None:
    places = planned(num_ranks=1, num_parts=2, share=0.6, num_groups=2)
    name = start_group("two", (1, 2), H100, places, memory="60%", min_replicas=2, max_replicas=2)
    before = groups(name, 2)
    assert sorted(slot for ranks in before for slot in slots(ranks)) == sorted(written(places))
    os.kill(before[0][0].pid, signal.SIGKILL)
    eventually(lambda: before[0][0].pid not in replica_pids(name), 60, "Serve has noticed")
    after = groups(name, 2)
    assert [slots(ranks) for ranks in after] == [slots(ranks) for ranks in before]
    assert after[1] == before[1]


def test_groups_that_the_plan_puts_crosswise_take_what_is_free(nodes: None, applications: None) -> None:
    """Each has a stage on each node. Ray is asked for either node alike, and puts each group together on one."""
    places = [{"node": node, "devices": [gpu]} for node, gpu in (("a", 0), ("b", 0), ("b", 1), ("a", 1))]
    name = start_group("cross", (1, 2), H100, places, memory="60%", min_replicas=2, max_replicas=2)
    found = [slots(ranks) for ranks in groups(name, 2)]
    assert sorted(slot for each in found for slot in each) == [("a", "0"), ("a", "1"), ("b", "0"), ("b", "1")]


def test_without_places_each_rank_has_a_gpu_of_its_own_on_one_node(nodes: None, applications: None) -> None:
    name = start_group("free", (2, 1), H100, [], memory="20%")
    (ranks,) = groups(name, 1)
    assert len({node for node, _ in slots(ranks)}) == 1
    assert {gpu for _, gpu in slots(ranks)} == {"0", "1"}


def test_on_cpus_each_stage_is_on_its_node(nodes: None, applications: None) -> None:
    places = [{"node": "b"}, {"node": "a"}, {"node": "head"}]
    (ranks,) = groups(start_group("cpus", (1, 3), ANY_CPU, places), 1)
    assert [each.node for each in ranks] == ["b", "a", "head"]


def test_a_group_without_room_says_which_rank_finds_none(nodes: None, applications: None) -> None:
    start_group("first", (1, 2), H100, planned(1, 2, share=0.6), memory="60%")
    groups("first@1", 1)
    name = start_group("second", (3, 1), H100, [], memory="80%")
    client = serve.context._get_global_client()
    assert client is not None

    def reason() -> str | None:
        views = ServeDetails.model_validate(client.get_serve_details()).views()
        (view,) = (each for each in views if each.name == name)
        state, why = read_status(view, free_nodes(), time.time())
        return why if state == "waiting" else None

    assert eventually(reason, 60, "it is known").startswith(
        "it cannot be scheduled: rank 2 of 3 finds no room beside ranks 0 to 1 on the node with most room: "
    )
    assert status(name) == "DEPLOYING"
