"""What ``serve_config.yaml`` may say of a pool."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from deployments.pool_args import PoolArgs
from models.types import VersionId

WRITTEN: dict[str, object] = {
    "name": "small",
    "memory": "4GiB",
    "store": "/models",
    "num_threads": 2,
    "models": [
        {"model": "a", "source": "file:/a", "limits": {"max_batch_size": 4}},
        {"model": "a", "version": 2, "pinned": True},
    ],
}


def test_each_model_is_what_it_would_be_by_itself() -> None:
    args = PoolArgs.model_validate(WRITTEN)
    first, second = args.model_args()
    assert (args.application, int(args.memory)) == ("pool-small", 4 * 1024**3)
    assert (str(first.id), first.source, first.limits.max_batch_size) == ("a@1", "file:/a", 4)
    assert (first.store, first.num_threads, first.device) == ("/models", 2, "cpu")
    assert args.pinned == {VersionId("a", "2")} == {second.id}


def test_limits_that_were_not_written_stay_unwritten() -> None:
    first, second = PoolArgs.model_validate(WRITTEN).model_args()
    assert first.limits.model_fields_set == {"max_batch_size"}
    assert second.limits.model_fields_set == set()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"models": []}, "models"),
        ({"models": [{"model": "a"}, {"model": "a", "version": "1"}]}, "models has a@1 more than once"),
        ({"models": [{"model": "a", "num_cpus": 1}]}, "num_cpus"),
        ({"models": [{"model": "a", "parallel": "auto"}]}, "parallel"),
        ({"models": [{"model": "a", "engine": "vllm"}]}, "models has a@1 with engine vllm"),
        ({"memory": "auto"}, "memory"),
        ({"memory": 0}, "memory"),
        ({"hold_s": 0}, "hold_s"),
        ({"num_loads": 0}, "num_loads"),
        ({"memory_policy": "evict"}, "memory_policy"),
        ({"name": "a@1"}, "name"),
        ({"replicas": 2}, "replicas"),
    ],
)
def test_what_is_not_understood_is_refused(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        PoolArgs.model_validate({**WRITTEN, **change})
