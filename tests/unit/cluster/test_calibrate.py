from __future__ import annotations

from pathlib import Path

import pytest

from cluster.calibrate import has_gpu, overhead, runs
from cluster.live.replica_metrics import ReplicaMemory
from cluster.tiny_models import TinyModel
from models.errors import StowageError
from models.memory.overheads import Overhead
from models.types import Task

GENERATION = TinyModel("transformers", "file:x", Task.GENERATE)
GRAPH = TinyModel("onnx", "file:y", Task.EMBED)


def found(**measured: int) -> ReplicaMemory:
    return ReplicaMemory("transformers@1", "r", 0, {"total": 1}, {"total": 0, "peak": 0, **measured})


def test_on_a_cpu_the_whole_process_is_overhead() -> None:
    assert overhead(GENERATION, "cpu", found(total=400, weights=1), "here") == Overhead(
        engine="transformers", kind="cpu", host_bytes=400, source="here"
    )


def test_on_a_gpu_the_context_is_told_from_the_process() -> None:
    assert overhead(GENERATION, "gpu", found(total=600, context=500, host=1000), "here") == Overhead(
        engine="transformers", kind="cuda", host_bytes=1000, device_bytes=500, source="here"
    )


def test_a_driver_that_does_not_tell_is_an_error_with_a_remedy() -> None:
    with pytest.raises(StowageError, match="install nvidia-ml-py"):
        overhead(GENERATION, "gpu", found(reserved=100, host=1000), "here")


def test_only_engines_that_can_use_a_gpu_are_measured_on_one() -> None:
    models = (GENERATION, GRAPH)
    assert runs(models, gpu=False) == [(GENERATION, "cpu"), (GRAPH, "cpu")]
    assert runs(models, gpu=True) == [(GENERATION, "cpu"), (GRAPH, "cpu"), (GENERATION, "gpu")]


def test_a_gpu_is_known_by_its_device_file(tmp_path: Path) -> None:
    (tmp_path / "nvidiactl").touch()
    assert not has_gpu(tmp_path)
    (tmp_path / "nvidia0").touch()
    assert has_gpu(tmp_path)
