from __future__ import annotations

import pytest

from cluster.config.replicas import ReplicaRange, replica_range
from deployments.args import ModelArgs

FIXED = ModelArgs(model="m", min_replicas=2, max_replicas=2)
SCALED = ModelArgs(model="m", min_replicas=0, max_replicas=4)


@pytest.mark.parametrize(
    ("args", "override", "text"),
    [
        (FIXED, None, "2"),
        (SCALED, None, "0-4"),
        (FIXED, {"name": "Model", "max_queued_requests": 5}, "2"),
        (FIXED, {"num_replicas": 3}, "3"),
        (FIXED, {"autoscaling_config": {"min_replicas": 3, "max_replicas": 5}}, "3-5"),
        (FIXED, {"autoscaling_config": {"max_replicas": 5}}, "1-5"),
        (FIXED, {"num_replicas": "auto"}, "1-100"),
        (FIXED, {"num_replicas": "auto", "autoscaling_config": {"min_replicas": 0}}, "0-100"),
        (SCALED, {"num_replicas": 3}, "0-4"),
        (SCALED, {"num_replicas": "auto"}, "0-4"),
        (SCALED, {"autoscaling_config": {"min_replicas": 1, "max_replicas": 2}}, "1-2"),
    ],
)
def test_an_override_counts_as_ray_counts_it(args: ModelArgs, override: object, text: str) -> None:
    assert str(replica_range(args, override)) == text


def test_a_range_of_one_number_is_written_as_that() -> None:
    assert str(ReplicaRange(0, 0)) == "0"
