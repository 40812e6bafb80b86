"""Which GPU a process sees, and how much of its threads it may use."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from deployments.devices import assigned_gpu, pin_gpus, share_compute
from models.errors import ConfigError
from models.types import VersionId

MODEL = VersionId("minilm", "1")


@pytest.mark.parametrize(
    ("seen", "index", "pinned"),
    [(None, 1, "1"), ("", 1, "1"), ("4,5", 1, "5"), ("GPU-aa, GPU-bb", 1, "GPU-bb"), ("7", 0, "7")],
)
def test_a_gpu_is_counted_among_those_that_the_node_sees(seen: str | None, index: int, pinned: str) -> None:
    environment = {} if seen is None else {"CUDA_VISIBLE_DEVICES": seen}
    assert pin_gpus([index], environment) == pinned
    assert environment == {"CUDA_VISIBLE_DEVICES": pinned}


def test_several_gpus_keep_the_order_of_the_plan() -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "4,5,6"}
    assert pin_gpus([2, 0], environment) == "6,4"


def test_a_gpu_that_the_node_does_not_see_is_refused() -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "4,5"}
    with pytest.raises(ConfigError, match=r"GPU 2 of this node, which sees 2: CUDA_VISIBLE_DEVICES=4,5"):
        pin_gpus([2], environment)
    assert environment == {"CUDA_VISIBLE_DEVICES": "4,5"}


def test_without_a_placement_rays_gpu_is_kept() -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "3", "RAY_predefined_unit_instance_resources": "GPU,TPU"}
    assert assigned_gpu(MODEL, environment) == "3"


@pytest.mark.parametrize("environment", [{}, {"CUDA_VISIBLE_DEVICES": ""}])
def test_no_gpu_from_ray_is_an_error(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="planned for a GPU, but Ray has assigned it none"):
        assigned_gpu(MODEL, environment)


def test_where_gpus_are_one_pool_a_placement_is_needed() -> None:
    environment = {"CUDA_VISIBLE_DEVICES": "0", "RAY_predefined_unit_instance_resources": ""}
    with pytest.raises(ConfigError, match="minilm@1 has no placement"):
        assigned_gpu(MODEL, environment)


def test_a_compute_share_is_set_where_a_daemon_runs(tmp_path: Path) -> None:
    (tmp_path / "control").touch()
    environment = {"CUDA_MPS_PIPE_DIRECTORY": str(tmp_path)}
    assert share_compute(MODEL, 37.5, environment)
    assert environment["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] == "37.5"


def test_a_compute_share_without_a_daemon_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    environment = {"CUDA_MPS_PIPE_DIRECTORY": str(tmp_path)}
    with caplog.at_level(logging.WARNING, logger="ray.serve"):
        assert not share_compute(MODEL, 40, environment)
    assert "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE" not in environment
    assert f"compute_share 40% of minilm@1 has no effect: no MPS daemon has its pipe in {tmp_path}" in caplog.text
