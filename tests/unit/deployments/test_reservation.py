"""What a replica asks of Ray, and what it says when it got less."""

from __future__ import annotations

import pytest

from deployments.args import ModelArgs
from deployments.reservation import Reservation, check_reservation, reserve
from models.devices import device_named
from models.errors import ConfigError
from models.hardware import Device
from models.memory.plan import ANY_CPU, MemoryPlan, plan_memory
from tests.unit.manifests import MINILM

H100 = device_named("h100-80gb")


def planned(device: Device, **changes: object) -> tuple[ModelArgs, MemoryPlan]:
    args = ModelArgs.model_validate({"model": "minilm", **changes})
    return args, plan_memory(MINILM, args.limits, "embedding", device=device, budget_bytes=args.memory.on(device))


def test_a_fraction_holds_the_budget_and_no_step_more() -> None:
    args, plan = planned(H100, memory="6GiB")
    fraction = reserve(args, plan).num_gpus
    assert (fraction - 0.0001) * H100.usable_bytes < 6 * 1024**3 <= fraction * H100.usable_bytes


def test_without_a_placement_nothing_counts_as_shared() -> None:
    args, plan = planned(ANY_CPU)
    assert reserve(args, plan) == Reservation(0.0, plan.budget_bytes)


def test_what_ray_has_reserved_as_asked_is_accepted() -> None:
    args, plan = planned(H100)
    asked = reserve(args, plan)
    check_reservation(args, plan, {"GPU": asked.num_gpus, "memory": asked.memory_bytes, "CPU": 1})


@pytest.mark.parametrize(
    ("device", "option", "reserved"),
    [
        (H100, "num_gpus 0.001 of minilm@1 contradicts its plan, which needs 0", {"GPU": 0.001, "memory": 1e12}),
        (H100, "memory 0 of minilm@1 contradicts its plan, which needs ", {"GPU": 1.0}),
        (ANY_CPU, "memory 1000 of minilm@1 contradicts its plan, which needs ", {"memory": 1000.0}),
    ],
)
def test_less_is_refused_with_both_values(device: Device, option: str, reserved: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=option) as refused:
        check_reservation(*planned(device), reserved)
    assert refused.value.remedy is not None
