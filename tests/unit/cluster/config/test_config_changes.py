from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from ray.serve._private.deploy_utils import get_app_code_version
from ray.serve.schema import ServeApplicationSchema

from cluster.config.applications import MODEL_BUILDER, Application, read_applications
from cluster.config.config_changes import ConfigChange, Effect, compare_applications

BASE: dict[str, Any] = {
    "name": "m@1",
    "route_prefix": None,
    "import_path": MODEL_BUILDER,
    "args": {"model": "m", "limits": {"max_num_seqs": 8}},
    "deployments": [{"name": "Model", "autoscaling_config": {"max_replicas": 3}}],
}


def applications(*values: dict[str, Any]) -> list[Application]:
    return read_applications({"applications": list(values)})


def change(edit: Callable[[Any], object]) -> ConfigChange:
    edited = copy.deepcopy(BASE)
    edit(edited)
    (found,) = compare_applications(applications(BASE), applications(edited))
    return found


def put(*path: Any) -> Callable[[Any], None]:
    """Put the last of ``path`` at the place that the others name."""
    *parents, key, value = path

    def edit(target: Any) -> None:
        for part in parents:
            target = target[part]
        target[key] = value

    return edit


RESTARTING = [
    put("args", "limits", "max_num_seqs", 4),
    put("args", "version", "1"),  # means the same, and yet Ray starts all replicas again
    put("args", "dtype", None),
    put("import_path", "deployments.app:build_router"),
    put("runtime_env", {"env_vars": {"A": "1"}}),
    put("deployments", 0, "request_router_config", {"request_router_kwargs": {"a": 1}}),
    put(
        "deployments",
        0,
        "autoscaling_config",
        "policy",
        {"policy_function": "ray.serve.autoscaling_policy:default_autoscaling_policy"},
    ),
]
IN_PLACE = [
    put("args", copy.deepcopy(BASE["args"])),
    put("runtime_env", {}),
    put("deployments", 0, "num_replicas", "auto"),
    put("deployments", 0, "autoscaling_config", "max_replicas", 5),
    put("deployments", 0, "user_config", {"a": 1}),
    put("deployments", 0, "health_check_period_s", 3),
    put("route_prefix", "/x"),
]


@pytest.mark.parametrize("edit", RESTARTING)
def test_what_changes_ray_s_code_version_restarts(edit: Callable[[Any], None]) -> None:
    edited = copy.deepcopy(BASE)
    edit(edited)
    assert change(edit).effect is Effect.RESTARTS
    assert code_version(edited) != code_version(BASE)


@pytest.mark.parametrize("edit", IN_PLACE)
def test_what_does_not_change_it_is_done_in_place(edit: Callable[[Any], None]) -> None:
    edited = copy.deepcopy(BASE)
    edit(edited)
    assert change(edit).effect is not Effect.RESTARTS
    assert code_version(edited) == code_version(BASE)


def code_version(value: dict[str, Any]) -> str:
    return get_app_code_version(ServeApplicationSchema.model_validate(value))


@pytest.mark.parametrize(
    ("edit", "effect", "reason"),
    [
        (put("args", "limits", "max_num_seqs", 4), Effect.RESTARTS, "args.limits.max_num_seqs: 8 -> 4"),
        (put("args", "dtype", "bfloat16"), Effect.RESTARTS, "args.dtype: absent -> bfloat16"),
        (put("deployments", 0, "user_config", {"a": 1}), Effect.RECONFIGURES,
         'deployments[0].user_config: null -> {"a": 1}'),
        (put("deployments", 0, "autoscaling_config", "max_replicas", 5), Effect.SCALES,
         "deployments[0].autoscaling_config.max_replicas: 3 -> 5"),
        (put("deployments", 0, "ray_actor_options", {"memory": 1}), Effect.RESTARTS,
         'deployments[0].ray_actor_options: null -> {"memory": 1}'),
    ],
)  # fmt: skip
def test_the_effect_and_the_reason(edit: Callable[[Any], None], effect: Effect, reason: str) -> None:
    assert change(edit) == ConfigChange("m@1", effect, (reason,))


def test_the_first_autoscaling_of_a_block_restarts_as_ray_hashes_it() -> None:
    before = {**BASE, "deployments": [{"name": "Model"}]}
    assert code_version(before) != code_version(BASE)
    for old, new in ((before, BASE), (BASE, before)):
        (found,) = compare_applications(applications(old), applications(new))
        assert found.effect is Effect.RESTARTS


def test_the_strongest_effect_counts_and_every_reason_is_given() -> None:
    def edit(app: Any) -> None:
        put("deployments", 0, "user_config", {"a": 1})(app)
        put("args", "num_cpus", 2)(app)

    found = change(edit)
    assert found.effect is Effect.RESTARTS
    assert len(found.reasons) == 2


def test_what_comes_goes_and_stays() -> None:
    other = {**BASE, "name": "n@1"}
    third = {**BASE, "name": "o@1"}
    changes = compare_applications(applications(BASE, other), applications(third, BASE))
    assert [(each.name, each.effect) for each in changes] == [
        ("o@1", Effect.STARTS),
        ("m@1", Effect.STAYS),
        ("n@1", Effect.STOPS),
    ]
