"""Which engine serves which model. Engines are imported when they are made, for their imports are heavy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from models.engines.base import Engine, EngineSettings
from models.engines.parts import FRESH, Parts
from models.errors import ConfigError
from models.manifest import Manifest
from models.spec import EngineName
from models.types import Task, WeightFormat

EngineFactory = Callable[[Path, Manifest, EngineSettings, Parts], Engine]


@dataclass(frozen=True, slots=True)
class _Entry:
    """``target`` is the ``module:Class`` that does ``task`` with weights in ``format``."""

    engine: EngineName
    format: WeightFormat
    task: Task
    target: str


_ENTRIES = (
    _Entry(
        "transformers", WeightFormat.SAFETENSORS, Task.GENERATE, "models.engines.transformers:TransformersEngine"
    ),
    _Entry("vllm", WeightFormat.SAFETENSORS, Task.GENERATE, "models.engines.vllm:VllmEngine"),
    _Entry(
        "embedding", WeightFormat.SAFETENSORS, Task.EMBED, "models.engines.embedding:TransformersEmbeddingEngine"
    ),
    _Entry("onnx", WeightFormat.ONNX, Task.EMBED, "models.engines.onnx:OnnxEmbeddingEngine"),
    _Entry("onnx", WeightFormat.ONNX, Task.INFER, "models.engines.onnx:OnnxEngine"),
)


def resolve_engine(manifest: Manifest, wanted: EngineName | None) -> EngineName:
    """The engine for the model, ``wanted`` if it is that; ConfigError when the model cannot be served so."""
    return _find(manifest, wanted).engine


def create_engine(
    name: EngineName, folder: Path, manifest: Manifest, settings: EngineSettings, parts: Parts = FRESH
) -> Engine:
    """Load the model, made of ``parts``. Blocks until the engine is ready.

    ConfigError when it cannot serve the model.
    """
    module, _, class_name = _find(manifest, name).target.partition(":")
    factory: EngineFactory = getattr(import_module(module), class_name)
    return factory(folder, manifest, settings, parts)


def _find(manifest: Manifest, wanted: EngineName | None) -> _Entry:
    able = [entry for entry in _ENTRIES if (entry.format, entry.task) == (manifest.format, manifest.task)]
    if not able:
        raise ConfigError(
            f"no engine can serve {manifest.id}: task '{manifest.task}', {manifest.format} weights",
            remedy=f"engines exist for {', '.join(f'{entry.format} + {entry.task}' for entry in _ENTRIES)}",
        )
    found = next((entry for entry in able if wanted in (None, entry.engine)), None)
    if found is None:
        raise ConfigError(
            f"engine {wanted!r} cannot serve {manifest.id}: task '{manifest.task}', {manifest.format} weights",
            remedy=f"leave 'engine' out, or write {able[0].engine!r}",
        )
    return found
