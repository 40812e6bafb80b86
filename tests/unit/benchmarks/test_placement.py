"""The other ways to place, and the exact one, on instances whose answers are known."""

from __future__ import annotations

from random import Random

import pytest

from benchmarks.exact_placement import Optimum, fewest_devices
from benchmarks.other_placements import first_fit, refused_by_ray, serve_spread
from benchmarks.placement import FILLED, LARGE, PACKED, devices_table, fit_table, measure, refusal_table
from benchmarks.placement_instances import GPU, Family, make_instance
from models.hardware import Node
from models.placement.slots import Demand, Placement, Slot

NODES = [Node(f"n{index}", 64, 10**12, GPU, 2) for index in range(3)]


def arriving(*shares: float) -> list[Demand]:
    return [Demand(f"m{i}", 0, GPU.name, int(share * GPU.usable_bytes)) for i, share in enumerate(shares)]


class InOrder(Random):
    """Leaves the nodes in their order."""

    def sample(self, population: list[Node], k: int) -> list[Node]:  # type: ignore[override]
        return population[:k]


def places(placement: Placement, demands: list[Demand]) -> list[str | None]:
    return [str(placement.slots[each.key]) if each.key in placement.slots else None for each in demands]


def test_spread_is_what_ray_was_seen_to_do() -> None:
    """Three nodes with two fake GPUs each, Ray 2.60; the seventh was still pending after 70 s."""
    demands = arriving(0.7, 0.7, 0.7, 0.7, 0.7, 0.5, 0.5, 0.25, 0.5, 0.3, 0.3, 0.3)
    seen = ["n0/0", "n1/0", "n2/0", "n0/1", "n1/1", "n2/1", None, "n1/0", "n2/1", "n0/0", "n1/1", "n2/0"]
    assert places(serve_spread(demands, NODES, InOrder()), demands) == seen


def test_spread_leaves_pending_what_no_single_gpu_has() -> None:
    """Seen on Ray 2.60 as well."""
    demands = arriving(0.5, 0.5, 0.5, 0.4, 0.4, 0.4, 0.5, 0.5, 0.5, 0.6, 0.6, 0.6)
    placement = serve_spread(demands, NODES, InOrder())
    assert [demand.model for demand in placement.unplaced] == ["m9", "m10", "m11"]


def test_first_fit_takes_the_first_with_room() -> None:
    demands = [*arriving(0.6, 0.6, 0.3), Demand("ranks", 0, GPU.name, GPU.usable_bytes // 2, num_ranks=2)]
    assert places(first_fit(demands, NODES), demands) == ["n0/0", "n0/1", "n0/0", "n1/0+1"]


def test_ray_refuses_what_has_its_place_in_the_plan() -> None:
    """One node with two GPUs: .4 goes beside the first .5 and the second .5 elsewhere, and .6 finds no GPU."""
    demands = arriving(0.5, 0.4, 0.5, 0.6)
    slots = {("m0", 0, 0): (0,), ("m2", 0, 0): (0,), ("m1", 0, 0): (1,), ("m3", 0, 0): (1,)}
    plan = Placement({key: Slot("n0", devices) for key, devices in slots.items()})
    assert refused_by_ray(plan, demands, NODES) == [demands[3]]
    assert refused_by_ray(plan, [demands[index] for index in (3, 1, 0, 2)], NODES) == []


def test_the_exact_solution_is_the_fewest() -> None:
    """Best-fit decreasing takes three."""
    demands = arriving(0.42, 0.42, 0.28, 0.28, 0.28, 0.28)
    assert fewest_devices(demands, NODES, apart=False) == Optimum(fits=True, num_devices=2, proven=True)


def test_the_exact_solution_knows_what_does_not_fit() -> None:
    assert fewest_devices(arriving(*[0.6] * 7), NODES, apart=False).fits is False


def test_the_exact_solution_keeps_ranks_together_and_replicas_apart() -> None:
    ranks = [Demand("m", 0, GPU.name, GPU.usable_bytes, num_ranks=3)]
    assert fewest_devices(ranks, NODES, apart=False).fits is False
    replicas = [Demand("m", replica, GPU.name, GPU.usable_bytes // 10) for replica in range(3)]
    assert fewest_devices(replicas, NODES, apart=False).num_devices == 1
    assert fewest_devices(replicas, NODES, apart=True).num_devices == 3


@pytest.mark.parametrize("family", [*PACKED, *FILLED, *LARGE], ids=lambda family: family.name)
def test_instances_are_the_same_for_the_same_seed(family: Family) -> None:
    instance = make_instance(family, 1)
    assert instance == make_instance(family, 1) != make_instance(family, 2)
    taken = sum(demand.num_ranks * demand.device_bytes for demand in instance.demands)
    assert taken <= family.fill * family.num_nodes * family.num_devices * GPU.usable_bytes


def test_the_tables_say_what_was_measured() -> None:
    samples = [
        measure(make_instance(family, 0), exact=family not in LARGE, time_limit_s=10)
        for family in (*PACKED, *FILLED, *LARGE)
    ]
    rows = {row[0]: row for row in devices_table(samples).rows}
    assert rows["two nodes"][2] == "exact, 1 of 1 proven"
    assert rows["two nodes"][3] == "1.000 (1.00)"
    assert rows["groups"][6] == "-"
    assert fit_table(samples).rows[0][1] == "1 of 1"
    assert len(refusal_table(samples).rows) == len(PACKED) - 1 + len(FILLED) + len(LARGE)
