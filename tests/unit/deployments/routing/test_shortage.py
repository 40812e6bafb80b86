"""What a replica that finds no node needs, against the most that one node has: in bytes, where it may be."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.routing.shortage import FreeNode, Need, explain, is_lacking, suitable
from models.devices import device_named
from models.hardware import Device

GIB = 1024**3
GPU = Device("test", "cuda", 10 * GIB, 10 * GIB)
LABELS: Mapping[str, str] = {"disk": "ssd", "zone": "a"}

AMOUNTS = st.dictionaries(st.sampled_from(["CPU", "GPU", "memory"]), st.floats(0, 4), max_size=3)


def gpu_node(free: float, device: Device | None = GPU) -> FreeNode:
    return FreeNode({"CPU": 8.0, "GPU": free}, device)


def test_gpu_memory_is_told_in_bytes() -> None:
    need = Need({"CPU": 1.0, "GPU": 0.61})
    nodes = [gpu_node(0.4), gpu_node(0.3), FreeNode({"CPU": 8.0})]
    assert is_lacking(need, nodes)
    assert explain(need, nodes) == (
        "it needs 6.1 GiB of GPU memory; the largest free on one node is 4.0 GiB of GPU memory"
    )


def test_one_gpu_has_no_more_than_all_of_itself() -> None:
    """Of a node with several, Ray tells the sum."""
    need = Need({"GPU": 4.0})
    assert explain(need, [gpu_node(3.5)]) == (
        "it needs 40.0 GiB of GPU memory; the largest free on one node is 10.0 GiB of GPU memory"
    )


def test_free_parts_of_several_gpus_may_be_too_small_each() -> None:
    need = Need({"GPU": 0.6})
    nodes = [gpu_node(1.0)]
    assert not is_lacking(need, nodes)
    assert explain(need, nodes) == (
        "it needs 6.0 GiB of GPU memory; a node has that free in sum, "
        "but Ray places it nowhere: is it free on one GPU?"
    )


def test_what_is_on_different_nodes_is_not_enough() -> None:
    need = Need({"CPU": 2.0, "memory": 2.0 * GIB})
    nodes = [FreeNode({"CPU": 4.0, "memory": GIB}), FreeNode({"CPU": 1.0, "memory": 4.0 * GIB})]
    assert is_lacking(need, nodes)
    assert explain(need, nodes) == (
        "it needs 2 CPUs and 2.0 GiB of memory; no node has all of that free at once"
    )  # fmt: skip


def test_only_what_is_missing_is_named() -> None:
    need = Need({"CPU": 1.0, "memory": 3.0 * GIB, "disks": 2.0, "GPU": 0.0})
    assert explain(need, [FreeNode({"CPU": 1.0, "memory": 2.5 * GIB, "disks": 2.0})]) == (
        "it needs 3.0 GiB of memory; the largest free on one node is 2.5 GiB of memory"
    )
    assert explain(need, [FreeNode({"CPU": 1.0, "memory": 3.0 * GIB})]) == (
        "it needs 2 of disks; the largest free on one node is 0 of disks"
    )


def test_a_gpu_whose_memory_is_not_known_is_counted() -> None:
    assert explain(Need({"GPU": 0.5}), [gpu_node(0.25, None)]) == (
        "it needs 0.5 GPUs; the largest free on one node is 0.25 GPUs"
    )
    need = Need({"GPU": 0.5}, planned_bytes=5 * GIB)
    assert explain(need, [gpu_node(0.25, None)]).startswith("it needs 5.0 GiB of GPU memory; ")
    assert explain(need, None) == "it needs 5.0 GiB of GPU memory"


def test_a_sum_of_floats_suffices() -> None:
    assert not is_lacking(Need({"GPU": 0.3}), [gpu_node(0.1 + 0.1 + 0.1 - 1e-12)])


@pytest.mark.parametrize(
    ("selectors", "applies"),
    [
        ((), True),
        (({"disk": "ssd"},), True),
        (({"disk": "hdd"},), False),
        (({"disk": "in(hdd, ssd)"},), True),
        (({"disk": "in(hdd,nvme)"},), False),
        (({"disk": "!hdd"},), True),
        (({"disk": "!in(hdd,ssd)"},), False),
        (({"disk": "ssd", "zone": "b"},), False),
        (({"disk": "ssd", "zone": "b"}, {"zone": "a"}), True),
        (({"rack": "1"},), False),
        (({"rack": "!1"},), True),
    ],
)
def test_labels_are_matched_as_ray_matches_them(selectors: tuple[dict[str, str], ...], applies: bool) -> None:
    node = FreeNode({}, labels=LABELS)
    assert suitable(Need({}, selectors), [node]) == ([node] if applies else [])


def test_a_label_that_no_node_has_is_named() -> None:
    need = Need({"CPU": 1.0}, ({"disk": "in(hdd)", "zone": "a"}, {"zone": "b"}))
    assert explain(need, [FreeNode({"CPU": 4.0}, labels=LABELS)]) == (
        "no node has the labels that it asks for: disk: in(hdd), zone: a or zone: b"
    )


def test_the_bytes_of_a_budget_are_those_of_the_plan() -> None:
    """A fraction of a device means bytes of what plans may fill on it, as it does where the fraction is made."""
    device = device_named("l4-24gb")
    fraction = 6.1 * GIB / device.usable_bytes
    assert "needs 6.1 GiB of GPU memory" in explain(Need({"GPU": fraction}), [gpu_node(0.1, device)])


@given(AMOUNTS, st.lists(AMOUNTS, max_size=3))
def test_a_reason_is_given_for_anything(needed: dict[str, float], free: list[dict[str, float]]) -> None:
    need, nodes = Need(needed), [FreeNode(each, GPU) for each in free]
    text = explain(need, nodes)
    assert "\n" not in text
    if is_lacking(need, nodes) and nodes:
        assert ("the largest free" in text) != ("all of that free at once" in text)
