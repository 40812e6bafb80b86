"""The places of a plan become a choice of nodes that Ray understands, and stale ones are refused."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.args import ModelArgs, Place
from deployments.placing import NodeChoice, check_places, choose_kind, choose_names, choose_nodes, places_on
from models.devices import device_named
from models.errors import ConfigError
from models.hardware import Device, Node
from models.memory.plan import ANY_CPU, MemoryPlan, plan_memory
from models.spec import Limits
from tests.unit.group_plans import grouped
from tests.unit.manifests import MINILM

H100 = device_named("h100-80gb")
T4 = device_named("t4-16gb")
NAMES = "abcd"


def node(name: str, gpu: Device | None = H100, *, labelled: bool = True) -> Node:
    labels = {"ray.io/node-id": f"id{name}"} | ({"stowage.io/node": name} if labelled else {})
    return Node(name, 8, 64 * 1024**3, gpu, 2 if gpu else 0, labels=labels)


def gpu_places(*nodes: str) -> list[Place]:
    return [Place(node=name, devices=(index % 2,)) for index, name in enumerate(nodes)]


def test_nodes_with_more_places_are_asked_first() -> None:
    chosen = choose_nodes(gpu_places("b", "c", "b", "a", "a"), [node(name) for name in NAMES])
    assert chosen == NodeChoice(
        label_selector={"stowage.io/node": "in(a,b)"},
        fallback_strategy=[{"label_selector": {"stowage.io/node": "in(c)"}}],
        max_replicas_per_node=2,
    )


def test_nodes_without_our_label_are_chosen_by_their_id() -> None:
    chosen = choose_nodes(gpu_places("b", "a"), [node("a"), node("b", labelled=False), node("c")])
    assert chosen.label_selector == {"ray.io/node-id": "in(ida,idb)"}
    assert chosen.fallback_strategy == []


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=12))
def test_every_node_with_a_place_is_asked_once(names: list[str]) -> None:
    chosen = choose_nodes(gpu_places(*names), [node(name) for name in NAMES])
    selectors = [chosen.label_selector, *(each["label_selector"] for each in chosen.fallback_strategy)]
    asked = [name for each in selectors for name in each["stowage.io/node"][3:-1].split(",")]
    counts = Counter(names)
    assert sorted(asked) == sorted(counts)
    assert [counts[name] for name in asked] == sorted(counts.values(), reverse=True)
    assert chosen.max_replicas_per_node == max(counts.values())


def labelled(name: str, gpu: Device) -> Node:
    labels = {"ray.io/node-id": f"id{name}", "stowage.io/device": gpu.name}
    return Node(name, 8, 64 * 1024**3, gpu, 2, labels=labels)


@pytest.mark.parametrize(
    ("nodes", "selector"),
    [
        ([node("a"), node("b", None)], {}),
        ([labelled("a", H100), labelled("b", T4)], {"stowage.io/device": "h100-80gb"}),
        ([node("b"), labelled("a", H100), node("c", T4)], {"ray.io/node-id": "in(ida,idb)"}),
        ([node("a"), node("b"), node("c", T4)], {"stowage.io/node": "in(a,b)"}),
    ],
    ids=["one kind", "labelled", "some labelled", "named"],
)
def test_without_a_place_a_replica_keeps_to_its_kind_of_gpu(nodes: list[Node], selector: dict[str, str]) -> None:
    assert choose_kind(H100, nodes) == selector


def planned(places: list[Place], device: Device) -> tuple[ModelArgs, MemoryPlan]:
    args = ModelArgs(model="minilm", placement=tuple(places))
    return args, plan_memory(MINILM, Limits(), "embedding", device=device)


def test_places_that_the_cluster_has_are_taken() -> None:
    check_places(*planned(gpu_places("a", "b"), H100), [node("a"), node("b")])
    check_places(*planned([Place(node="a")], ANY_CPU), [node("a")])
    check_places(*planned([], H100), [])


@pytest.mark.parametrize(
    ("place", "device", "message"),
    [
        (Place(node="x", devices=(0,)), H100, "node 'x', but alive are a, t"),
        (Place(node="t", devices=(0,)), H100, "GPU 0 of node t, which has t4-16gb, but .* for h100-80gb"),
        (Place(node="a", devices=(2,)), H100, "GPU 2 of node a, which has 2"),
        (Place(node="a"), H100, "node a without a GPU, but the model is planned for h100-80gb"),
        (Place(node="a", devices=(0,)), ANY_CPU, "GPU 0 of node a, but the model is planned for cpu"),
    ],
)
def test_a_stale_place_is_refused(place: Place, device: Device, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        check_places(*planned([place], device), [node("a"), node("t", T4)])
    assert refused.value.remedy is not None
    assert "stowage plan" in refused.value.remedy


def test_one_selector_names_the_nodes_of_some_places() -> None:
    nodes = [node("a"), node("b", labelled=False), node("c")]
    assert choose_names(gpu_places("c", "a", "c"), nodes) == {"stowage.io/node": "in(a,c)"}
    assert choose_names(gpu_places("b", "a"), nodes) == {"ray.io/node-id": "in(ida,idb)"}


PAIR = Place(node="a", devices=(0, 1))


@pytest.mark.parametrize(
    ("degree", "places", "message"),
    [
        ((2, 1), [Place(node="a", devices=(0,))], "GPU 0 of node a, but .* for tensor 2 x pipeline 1"),
        ((1, 2), [PAIR, PAIR], "GPU 0, 1 of node a, but the model is planned for tensor 1 x pipeline 2"),
        ((2, 2), [PAIR], "1 places, but 1 replicas of tensor 2 x pipeline 2 take 2"),
        ((1, 2), gpu_places("a", "b", "a"), "3 places, but 1 replicas of tensor 1 x pipeline 2 take 2"),
        ((2, 2), [PAIR, PAIR], "GPU 0 of node a for two ranks of one replica"),
        ((1, 1), [PAIR], "GPU 0, 1 of node a, but the model is planned for tensor 1 x pipeline 1"),
    ],
)
def test_places_of_another_degree_are_refused(degree: tuple[int, int], places: list[Place], message: str) -> None:
    _, plan = planned([], H100)
    args = ModelArgs(model="minilm", parallel="auto", placement=tuple(places))
    with pytest.raises(ConfigError, match=message):
        check_places(args, grouped(plan, *degree), [node("a"), node("b")])


def test_each_group_of_a_placement_is_checked_by_itself() -> None:
    _, plan = planned([], H100)
    args = ModelArgs(model="minilm", parallel="auto", max_replicas=2, placement=tuple(gpu_places("a", "b") * 2))
    check_places(args, grouped(plan, 1, 2), [node("a"), node("b")])


def test_the_places_of_a_node() -> None:
    assert places_on(gpu_places("a", "b", "a"), "a") == (Place(node="a", devices=(0,)),) * 2
