"""How many replicas there are is said in one place."""

from __future__ import annotations

import pytest

from cluster.config.scaling_rules import scaling_complaints
from deployments.args import ModelArgs
from deployments.routing.serve_details import SCALING_POLICY

SCALED = ModelArgs.model_validate({"model": "m", "max_replicas": 3, "scaling": {"idle_s": 60}})
PATH = ("applications", 1, "deployments", 0)


def complaints(args: ModelArgs | None, override: object) -> dict[str, str]:
    return {str(each.path[-1]): each.message for each in scaling_complaints(args, override, PATH)}


@pytest.mark.parametrize("override", [{}, {"num_replicas": 3}, {"autoscaling_config": None}, None, "x"])
def test_what_says_nothing_of_autoscaling_is_fine(override: object) -> None:
    assert complaints(SCALED, override) == {}


def test_rays_own_policy_takes_the_place_of_scaling() -> None:
    override = {"autoscaling_config": {"min_replicas": 1, "max_replicas": 3}}
    assert complaints(ModelArgs(model="m", max_replicas=3), override) == {}
    assert "which then says nothing" in complaints(SCALED, override)["autoscaling_config"]
    assert complaints(None, override) == {}


@pytest.mark.parametrize("name", [SCALING_POLICY, "deployments.autoscaling.ModelPolicy"])
def test_our_policy_is_given_what_it_needs_by_the_builder_only(name: str) -> None:
    override = {"autoscaling_config": {"max_replicas": 3, "policy": {"policy_function": name}}}
    found = complaints(ModelArgs(model="m", max_replicas=3), override)
    assert "write min_replicas, max_replicas and scaling in args" in found["policy_function"]
