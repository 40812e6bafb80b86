"""The smallest degree is found, by comparison with all of them, and what stands against the others is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import DoesNotFitError
from models.hardware import Device
from models.manifest import Manifest
from models.memory.degrees import NodeDevices, plan_smallest, smallest_degree
from models.memory.divisible import why_not
from models.memory.overheads import MEASURED, MIB
from models.memory.plan import ANY_CPU, plan_replica
from models.memory.sizing import Replica
from models.parallel.layout import Degree
from models.spec import Limits
from tests.unit.manifests import ADDER, SMOLLM2
from tests.unit.models.known_models import known

GIB = 1024 * MIB
GPU = Device("h100-80gb", "cuda", 80 * GIB, 79 * GIB, "H100")
LIMITS = Limits(max_model_len=2048)
LLAMA = known("llama-3.1-8b").manifest()
HYBRID = known("gemma-3-1b").manifest()

NODES = st.lists(st.builds(NodeDevices, st.integers(1, 6), st.just(0)), min_size=1, max_size=2)


def replica_of(manifest: Manifest, device: Device = GPU) -> Replica:
    return Replica(manifest, "transformers", device, MEASURED)


def fits(replica: Replica, degree: Degree, nodes: list[NodeDevices], room_bytes: int) -> bool:
    """Whether the ranks of each stage find devices on one node, and their bytes room on them."""
    stages = sum(node.num_devices // degree.tensor for node in nodes)
    if stages < degree.pipeline or why_not(replica.manifest, replica.engine, degree):
        return False
    return plan_replica(replica, LIMITS, None, degree).total_bytes <= room_bytes


@given(
    manifest=st.sampled_from([SMOLLM2, LLAMA, HYBRID]),
    nodes=NODES,
    room_mib=st.integers(1400, 40_000),
)
def test_no_smaller_degree_fits(manifest: Manifest, nodes: list[NodeDevices], room_mib: int) -> None:
    replica, room_bytes = replica_of(manifest), room_mib * MIB
    sized = [NodeDevices(node.num_devices, room_bytes) for node in nodes]
    total = sum(node.num_devices for node in nodes)
    degrees = (Degree(tensor, ranks // tensor) for ranks in range(1, total + 1)
               for tensor in range(1, ranks + 1) if ranks % tensor == 0)  # fmt: skip
    fitting = [degree for degree in degrees if fits(replica, degree, nodes, room_bytes)]
    best = min(fitting, key=lambda degree: (degree.num_ranks, -degree.tensor), default=None)
    found = smallest_degree(replica, LIMITS, sized)
    assert found.degree == best
    assert all(each.degree != best for each in found.refused)


def test_the_ranks_of_a_stage_lie_on_one_node() -> None:
    room = plan_replica(replica_of(LLAMA), LIMITS, None, Degree(4, 1)).total_bytes
    whole = [NodeDevices(4, room)]
    assert smallest_degree(replica_of(LLAMA), LIMITS, whole).degree == Degree(4, 1)
    halves = [NodeDevices(2, room + GIB), NodeDevices(2, room + GIB)]
    assert smallest_degree(replica_of(LLAMA), LIMITS, halves).degree == Degree(2, 2)


def test_the_smallest_device_that_would_be_used_decides() -> None:
    needed = plan_replica(replica_of(SMOLLM2, ANY_CPU), LIMITS, None, Degree(1, 2)).total_bytes
    nodes = [NodeDevices(1, needed + 1), NodeDevices(1, needed), NodeDevices(1, needed // 8)]
    assert smallest_degree(replica_of(SMOLLM2, ANY_CPU), LIMITS, nodes).degree == Degree(1, 2)
    nodes[1] = NodeDevices(1, needed - 1)
    assert smallest_degree(replica_of(SMOLLM2, ANY_CPU), LIMITS, nodes).degree is None


def test_a_budget_binds_each_rank_and_the_cache_takes_the_rest_of_it() -> None:
    nodes, budget = [NodeDevices(1, 64 * GIB)] * 3, 1200 * MIB
    replica = replica_of(SMOLLM2, ANY_CPU)
    found = plan_smallest(replica, LIMITS, nodes, budget)
    assert found.group is not None
    assert found.group.degree == Degree(1, 3)
    assert all(each.total_bytes <= each.budget_bytes == budget for each in found.group.ranks)
    assert found.max_num_seqs >= LIMITS.max_num_seqs
    assert found.max_model_len == 2048


def test_what_fits_on_one_device_is_not_divided() -> None:
    assert plan_smallest(replica_of(SMOLLM2), LIMITS, [NodeDevices(8, GPU.usable_bytes)]).group is None


def test_a_refusal_says_what_stands_against_every_degree_and_what_would_help() -> None:
    nodes = [NodeDevices(3, 1000 * MIB)]
    with pytest.raises(DoesNotFitError) as caught:
        plan_smallest(replica_of(SMOLLM2), Limits(max_model_len=8192), nodes)
    assert "fits in no way" in caught.value.message
    assert "2 does not divide 9 heads and 3 KV heads" in caught.value.message
    assert "tensor 1 x pipeline 3 needs" in caught.value.message
    assert "tensor 3 x pipeline 1 needs" in caught.value.message
    assert "which has 1000.0 MiB" in caught.value.message
    assert "more or larger devices" in str(caught.value.remedy)


def test_the_change_that_is_offered_makes_it_fit() -> None:
    nodes = [NodeDevices(1, 1200 * MIB)] * 3
    replica = replica_of(SMOLLM2, ANY_CPU)
    with pytest.raises(
        DoesNotFitError, match=r"set limits.max_num_seqs to 3 or less \(with tensor 1 x pipeline 3\)"
    ):
        plan_smallest(replica, Limits(), nodes)
    few = plan_smallest(replica, Limits(max_num_seqs=3), nodes)
    assert few.group is not None
    assert few.group.degree == Degree(1, 3)


def test_what_cannot_be_divided_is_refused_with_the_reason() -> None:
    adder = Replica(ADDER, "onnx", ANY_CPU, MEASURED)
    with pytest.raises(DoesNotFitError, match="a graph is one piece"):
        plan_smallest(adder, Limits(), [NodeDevices(1, MIB)] * 2)
