"""What ``serve_config.yaml`` may say of a deployment."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from deployments.args import ModelArgs, RouterArgs
from deployments.routing.policy import Route, RouterPolicy
from deployments.scaling_args import ScalingArgs
from models.spec import ModelSpec


def test_a_name_is_enough_for_a_model() -> None:
    args = ModelArgs(model="minilm")
    assert isinstance(args, ModelSpec)
    assert (args.min_replicas, args.max_replicas, args.node_memory) == (1, 1, None)


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ({"engine": "vllm"}, "engine is 'vllm', and vllm_python None"),
        ({"vllm_python": "/opt/vllm/bin/python"}, "engine is None, and vllm_python /opt/vllm/bin/python"),
        ({"engine": "vllm", "vllm_python": "bin/python"}, "vllm_python bin/python is no absolute path"),
    ],
)
def test_what_vllm_needs_is_said(written: dict[str, str], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        ModelArgs.model_validate({"model": "m", **written})


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        (
            {"engine": "transformers"},
            "sleep_after_s is 60, but engine 'transformers' and device 'auto': only vllm",
        ),
        (
            {"engine": "vllm", "vllm_python": "/v/python", "device": "cpu"},
            "device 'cpu': .* set min_replicas to 0",
        ),
        ({"engine": "vllm", "vllm_python": "/v/python", "sleep_after_s": 0}, "greater than 0"),
    ],
)
def test_only_vllm_on_a_gpu_sleeps(written: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        ModelArgs.model_validate({"model": "m", "sleep_after_s": 60, **written})


@pytest.mark.parametrize(("written", "num_bytes"), [("8GiB", 8 * 1024**3), ("500MB", 500_000_000), (1024, 1024)])
def test_node_memory_takes_units(written: object, num_bytes: int) -> None:
    assert ModelArgs.model_validate({"model": "m", "node_memory": written}).node_memory == num_bytes


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("replicas", 2),
        ("num_cpus", 0),
        ("num_threads", 0),
        ("max_replicas", 0),
        ("min_replicas", -1),
        ("max_queued_requests", 0),
        ("node_memory", "much"),
    ],
)
def test_what_is_not_understood_of_a_model_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        ModelArgs.model_validate({"model": "m", field: value})


def test_fewer_replicas_at_most_than_at_least_are_refused() -> None:
    with pytest.raises(ValidationError, match="min_replicas 3 exceeds max_replicas 2"):
        ModelArgs(model="m", min_replicas=3, max_replicas=2)


def test_a_default_timeout_above_the_largest_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"request_timeout_s 20.0 exceeds max_request_timeout_s 10.0"):
        RouterArgs(request_timeout_s=20, max_request_timeout_s=10)


@pytest.mark.parametrize(
    ("field", "value"),
    [("port", 8000), ("num_replicas", 0), ("wake_wait_s", -1), ("status_period_s", 0), ("max_body_bytes", 0)],
)
def test_what_is_not_understood_of_the_router_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        RouterArgs.model_validate({field: value})


def test_a_route_takes_a_whole_number_for_its_version() -> None:
    policy = RouterPolicy.model_validate({"routes": {"minilm": {"version": 2}}})
    assert policy.routes == {"minilm": Route(version="2")}


@pytest.mark.parametrize(
    "written", [{"routes": {"a b": {"version": "1"}}}, {"routes": {"m": {"version": 1.5}}}, {"rules": {}}]
)
def test_what_is_not_understood_of_the_policy_is_refused(written: object) -> None:
    with pytest.raises(ValidationError):
        RouterPolicy.model_validate(written)


ON_GPU = {"node": "a", "devices": [0]}


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"device": "cpu", "compute_share": 40}, "compute_share 40 is of a GPU, but device is 'cpu'"),
        ({"max_replicas": 2, "placement": [ON_GPU]}, "placement has 1 places for max_replicas 2, not 2"),
        ({"device": "cpu", "placement": [ON_GPU]}, "placement names GPU 0 of a, but device is 'cpu'"),
        ({"device": "gpu", "placement": [{"node": "a"}]}, "placement names no GPU of a, but device is 'gpu'"),
        ({"placement": [{"node": "a", "devices": [0, 1]}]}, "placement gives one replica 2 GPUs of a, not 1"),
        ({"parallel": {"tensor": 2}, "placement": [ON_GPU]}, "placement gives one replica 1 GPUs of a, not 2"),
        ({"parallel": {"pipeline": 2}, "placement": [ON_GPU]}, "placement has 1 places for max_replicas 1, not 2"),
    ],
)
def test_args_that_contradict_each_other_are_refused(args: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ModelArgs.model_validate({"model": "m", **args})


@pytest.mark.parametrize(
    ("parallel", "devices"), [("auto", [[0, 1], [1, 2, 3]]), ({"tensor": 2, "pipeline": 2}, [[0, 1], [2, 3]])]
)
def test_a_group_has_a_place_for_each_of_its_stages(parallel: object, devices: list[list[int]]) -> None:
    places = [{"node": "a", "devices": each} for each in devices]
    args = ModelArgs.model_validate({"model": "m", "parallel": parallel, "placement": places})
    assert [place.devices for place in args.placement] == [tuple(each) for each in devices]


def test_vllm_has_one_place_for_all_its_ranks() -> None:
    vllm = {"model": "m", "engine": "vllm", "vllm_python": "/v/python"}
    divided = {**vllm, "parallel": {"tensor": 2, "pipeline": 2}}
    whole = {"node": "a", "devices": [0, 1, 2, 3]}
    assert len(ModelArgs.model_validate({**divided, "placement": [whole]}).placement) == 1
    halves = [{"node": "a", "devices": [0, 1]}, {"node": "b", "devices": [0, 1]}]
    with pytest.raises(ValidationError, match="placement gives one replica 2 GPUs of a, not 4"):
        ModelArgs.model_validate({**divided, "placement": halves})


def test_a_placement_may_have_places_to_spare() -> None:
    args = ModelArgs.model_validate({"model": "m", "device": "gpu", "placement": [ON_GPU, ON_GPU]})
    assert len(args.placement) == 2


def scaled(**scaling: object) -> ModelArgs:
    return ModelArgs.model_validate({"model": "m", "min_replicas": 0, "max_replicas": 3, "scaling": scaling})


def test_scaling_has_defaults_for_all() -> None:
    assert scaled().scaling == ScalingArgs()


@pytest.mark.parametrize(
    ("scaling", "complaint"),
    [
        ({"queue_s": 0}, "greater than 0"),
        ({"idle_s": -1}, "greater than or equal to 0"),
        ({"target": 5}, "Extra inputs are not permitted"),
        ({"schedule": [{"replicas": 0, "start": "08:00", "end": "18:00"}]}, "greater than 0"),
        ({"schedule": [{"replicas": 1, "start": "8 am", "end": "18:00"}]}, "start '8 am' .* is no time of day"),
        (
            {"schedule": [{"replicas": 1, "start": "08:00", "end": 1110}]},
            "1110 is no time of day: write it in quotes, as '18:30'",
        ),
        ({"schedule": [{"replicas": 1, "start": "08:00", "end": "18:00", "days": ["monday"]}]}, "'mon', 'tue'"),
        (
            {"schedule": [{"replicas": 1, "start": "08:00", "end": "18:00", "time_zone": "Berlin"}]},
            "time_zone 'Berlin' is none",
        ),
        (
            {"schedule": [{"replicas": 4, "start": "08:00", "end": "18:00"}]},
            "scaling.schedule has 4 replicas, above max_replicas 3",
        ),
    ],
)
def test_scaling_that_makes_no_sense_is_refused(scaling: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        scaled(**scaling)


def test_scaling_needs_something_to_decide() -> None:
    with pytest.raises(ValidationError, match="min_replicas and max_replicas are both 1; raise max_replicas"):
        ModelArgs.model_validate({"model": "m", "scaling": {"idle_s": 60}})
