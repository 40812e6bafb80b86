"""Overrides and devices that contradict a plan are refused, with both values."""

from __future__ import annotations

import pytest

from cluster.config.applications import Application
from cluster.config.config_file import Complaint
from cluster.config.plan_rules import device_complaints, placement_complaints, reservation_complaints
from deployments.args import ModelArgs
from deployments.reservation import reserve
from models.devices import device_named
from models.engines.registry import resolve_engine
from models.manifest import Manifest
from models.memory.overheads import MEASURED, Overhead, Overheads
from models.memory.plan import ANY_CPU, MemoryPlan, plan_memory
from tests.unit.manifests import MINILM

MEMORY = ("applications", 0, "deployments", 0, "ray_actor_options", "memory")


def application(args: dict[str, object], **override: object) -> Application:
    value: dict[object, object] = {
        "import_path": "deployments.app:build_model",
        "args": {"model": "minilm", **args},
        "deployments": [{"name": "Model", **override}] if override else [],
    }
    return Application(("applications", 0), value)


def placed(num_places: int = 2, **args: object) -> dict[str, object]:
    return {"placement": [{"node": "a", "devices": [0]}] * num_places, **args}


def stored(args: ModelArgs) -> Manifest:
    return MINILM


def of_reservations(app: Application) -> list[Complaint]:
    return list(reservation_complaints(app, stored, lambda _: MEASURED))


@pytest.mark.parametrize("device", ["auto", "cpu", "gpu", "h100-80gb"])
def test_a_device_that_can_be_meant_is_taken(device: str) -> None:
    assert list(device_complaints(application({"device": device}))) == []


def test_a_device_that_is_none_is_named_with_its_neighbours() -> None:
    (complaint,) = device_complaints(application({"device": "h100-80"}))
    assert complaint.path == ("applications", 0, "args", "device")
    assert "'h100-80'" in complaint.message
    assert "h100-80gb" in complaint.message


@pytest.mark.parametrize(
    ("option", "value"), [("ray_actor_options", {"memory": 10**9}), ("max_replicas_per_node", 1)]
)
def test_a_placement_goes_with_no_override_of_where_replicas_run(option: str, value: object) -> None:
    (complaint,) = placement_complaints(application(placed(), **{option: value}))
    assert complaint.path == ("applications", 0, "deployments", 0, option)
    assert "placement in args" in complaint.message


def test_more_replicas_than_places_are_refused() -> None:
    (complaint,) = placement_complaints(application(placed(), num_replicas=3))
    assert "up to 3 replicas for 2 places" in complaint.message


def test_a_group_takes_a_place_for_each_stage() -> None:
    groups = placed(4, parallel={"pipeline": 2})
    assert list(placement_complaints(application(groups, num_replicas=2))) == []
    (complaint,) = placement_complaints(application(groups, num_replicas=3))
    assert "up to 3 replicas for 4 places" in complaint.message


@pytest.mark.parametrize(
    "app",
    [
        application(placed(), num_replicas=2),
        application(placed(), graceful_shutdown_timeout_s=60),
        application({}, ray_actor_options={"memory": 1}),
    ],
    ids=["as many", "another option", "no placement"],
)
def test_other_overrides_go_with_a_placement(app: Application) -> None:
    assert list(placement_complaints(app)) == []


def planned(args: dict[str, object], device: str) -> tuple[ModelArgs, MemoryPlan]:
    parsed = ModelArgs.model_validate({"model": "minilm", **args})
    on = ANY_CPU if device == "cpu" else device_named(device)
    engine = resolve_engine(MINILM, None)
    return parsed, plan_memory(MINILM, parsed.limits, engine, device=on, budget_bytes=parsed.memory.on(on))


@pytest.mark.parametrize("args", [{}, {"device": "cpu"}, {"memory": "2GiB"}])
def test_less_memory_than_the_plan_needs_is_refused_with_both_values(args: dict[str, object]) -> None:
    needed = planned(args, "cpu")[1].budget_bytes
    (complaint,) = of_reservations(application(args, ray_actor_options={"memory": needed - 1}))
    assert complaint.path == MEMORY
    assert f"memory {needed - 1} of minilm@1 contradicts its plan, which needs {needed}" in complaint.message
    assert of_reservations(application(args, ray_actor_options={"memory": needed})) == []


def test_a_smaller_fraction_than_planned_is_refused_and_so_is_none() -> None:
    args: dict[str, object] = {"device": "h100-80gb", "memory": "40%"}
    needed = reserve(*planned(args, "h100-80gb"))
    memory = needed.memory_bytes
    (small,) = of_reservations(application(args, ray_actor_options={"num_gpus": 0.3, "memory": memory}))
    assert small.path[-1] == "num_gpus"
    assert "num_gpus 0.3 of minilm@1 contradicts its plan, which needs 0.4" in small.message
    (none,) = of_reservations(application(args, ray_actor_options={"memory": memory}))
    assert none.path[-1] == "ray_actor_options"
    assert "num_gpus 0 of minilm@1" in none.message


@pytest.mark.parametrize(
    "args", [{"device": "gpu"}, {"memory": "40%"}], ids=["which GPU is not known", "of what is not known"]
)
def test_what_only_the_cluster_can_tell_is_left_to_it(args: dict[str, object]) -> None:
    assert of_reservations(application(args, ray_actor_options={"memory": 1})) == []


def test_what_is_not_stored_has_no_plan_to_contradict() -> None:
    app = application({}, ray_actor_options={"memory": 1})
    assert list(reservation_complaints(app, lambda _: None, lambda _: MEASURED)) == []


def test_the_plan_is_made_with_the_overheads_of_the_model_s_store() -> None:
    less = MEASURED.updated(
        Overheads(entries=(Overhead(engine="embedding", kind="cpu", host_bytes=0, source="here"),))
    )
    tables = {"/calibrated": less, "/other": MEASURED}
    memory = planned({}, "cpu")[1].budget_bytes - 1
    found = {
        store: list(
            reservation_complaints(
                application({"store": store}, ray_actor_options={"memory": memory}), stored, tables.__getitem__
            )
        )
        for store in tables
    }
    assert [len(found[store]) for store in tables] == [0, 1]


def test_of_a_group_it_is_the_part_of_each_rank_that_counts() -> None:
    args: dict[str, object] = {"parallel": {"pipeline": 2}}
    assert of_reservations(application({"parallel": "auto"}, ray_actor_options={"memory": 1})) == []
    (complaint,) = of_reservations(application(args, ray_actor_options={"memory": 1}))
    assert complaint.path == MEMORY
