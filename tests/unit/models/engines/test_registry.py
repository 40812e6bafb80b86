"""Which engine serves what, and that choosing one imports none."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from models.engines.base import EngineSettings
from models.engines.onnx import OnnxEngine
from models.engines.registry import create_engine, resolve_engine
from models.errors import ConfigError
from models.manifest import Manifest
from models.spec import EngineName
from models.types import Task, WeightFormat
from tests.unit.models.engines import models_for_tests as tiny


def manifest(weights: WeightFormat, task: Task) -> Manifest:
    return Manifest(
        name="m",
        version="1",
        source="file:m",
        format=weights,
        task=task,
        files=(),
        dtype="float32",
        num_parameters=1,
        weight_bytes=4,
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("weights", "task", "engine"),
    [
        (WeightFormat.SAFETENSORS, Task.GENERATE, "transformers"),
        (WeightFormat.SAFETENSORS, Task.EMBED, "embedding"),
        (WeightFormat.ONNX, Task.EMBED, "onnx"),
        (WeightFormat.ONNX, Task.INFER, "onnx"),
    ],
)
def test_the_engine_follows_from_format_and_task(weights: WeightFormat, task: Task, engine: EngineName) -> None:
    assert resolve_engine(manifest(weights, task), None) == engine
    assert resolve_engine(manifest(weights, task), engine) == engine


@pytest.mark.parametrize(
    ("weights", "task"),
    [
        (WeightFormat.ONNX, Task.GENERATE),
        (WeightFormat.SAFETENSORS, Task.INFER),
        (WeightFormat.GGUF, Task.GENERATE),
    ],
)
def test_what_no_engine_serves_is_refused(weights: WeightFormat, task: Task) -> None:
    with pytest.raises(ConfigError, match=f"m@1: task '{task}', {weights} weights.*engines exist for safetensors"):
        resolve_engine(manifest(weights, task), None)


def test_an_engine_that_cannot_serve_the_model_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"engine 'onnx' cannot serve m@1.*write 'embedding'"):
        resolve_engine(manifest(WeightFormat.SAFETENSORS, Task.EMBED), "onnx")


def test_vllm_serves_only_who_asks_for_it() -> None:
    llama = manifest(WeightFormat.SAFETENSORS, Task.GENERATE)
    assert resolve_engine(llama, "vllm") == "vllm"
    assert resolve_engine(llama, None) == "transformers"


def test_an_engine_is_made_from_its_folder(tmp_path: Path) -> None:
    tiny.arithmetic(tmp_path / "model.onnx")
    stored = tiny.manifest_of(tmp_path, WeightFormat.ONNX, Task.INFER)
    engine = create_engine("onnx", tmp_path, stored, EngineSettings(max_model_len=16))
    assert type(engine) is OnnxEngine


def test_the_registry_imports_no_engine() -> None:
    heavy = {"torch", "transformers", "onnxruntime", "ray"}
    program = f"import sys, models.engines.registry; sys.exit(bool({heavy!r} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
