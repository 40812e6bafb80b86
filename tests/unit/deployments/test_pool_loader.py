"""Real engines come and go: they answer while they are there, and leave no memory behind."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from deployments.args import ModelArgs
from deployments.engine_host import EngineHost
from deployments.importing import ensure_imported
from deployments.pool.warm_up import WarmUp
from deployments.pool_args import PoolArgs
from deployments.pool_loader import EngineLoader
from models.engines.parts import FRESH
from models.errors import ModelUnavailableError, SourceError
from models.memory.plan import MemoryPlan, plan_memory
from models.process_memory import read_process_memory
from models.spec import EngineName
from models.types import InferRequest, Tensor, VersionId
from tests.unit.models.tiny_models import onnx_model, onnx_tensor

ADDER, ABSENT = VersionId("adder", "1"), VersionId("absent", "1")
NUM_VALUES = 16 * 1024**2
WEIGHT_BYTES = 4 * NUM_VALUES


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    """The warm-up takes everything out of garbage collection, for a process that is a replica."""
    yield
    gc.unfreeze()


def small_pool(
    folder: Path, names: Sequence[str], engine: EngineName
) -> tuple[tuple[ModelArgs, ...], list[MemoryPlan]]:
    """Models of the graph ``a.onnx`` in ``folder``, the first imported."""
    written = [{"model": name, "source": f"file:{folder}/a.onnx", "task": "infer"} for name in names]
    pool = {"name": "p", "memory": "1GiB", "store": str(folder / "store"), "models": written}
    models = PoolArgs.model_validate(pool).model_args()
    plan = plan_memory(ensure_imported(models[0]).manifest, models[0].limits, "onnx")
    return models, [replace(plan, id=model.id, engine=engine) for model in models]


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> EngineLoader:
    """A graph that adds 64 MiB of zeros, which ONNX Runtime copies, and a model whose source is gone."""
    folder = tmp_path_factory.mktemp("pool")
    zeros = onnx_tensor("bias", TensorProto.FLOAT, (NUM_VALUES,), bytes(WEIGHT_BYTES))
    (folder / "a.onnx").write_bytes(onnx_model([zeros], (NUM_VALUES,)))
    made = EngineLoader(*small_pool(folder, ["adder", "absent"], "onnx"), FRESH)
    (folder / "a.onnx").unlink()
    return made


def private_bytes(loader: EngineLoader) -> int:
    gc.collect()
    loader.give_back()
    return read_process_memory(Path("/nowhere")).other_bytes


async def test_a_model_answers_from_load_to_unload(loader: EngineLoader) -> None:
    request = InferRequest((Tensor("x", "FP32", np.full(NUM_VALUES, 2, np.float32)),))
    host = loader.load(ADDER)
    answer = await host.infer(request)
    assert isinstance(answer, tuple)
    assert answer[0].data[0] == 2
    loader.unload(host)
    with pytest.raises(ModelUnavailableError, match="adder@1 is not loaded"):
        await host.infer(request)


def test_its_memory_returns_to_the_system(loader: EngineLoader) -> None:
    loader.unload(loader.load(ADDER))
    before = private_bytes(loader)
    host = loader.load(ADDER)
    assert private_bytes(loader) > before + 0.9 * WEIGHT_BYTES
    loader.unload(host)
    assert private_bytes(loader) < before + 0.1 * WEIGHT_BYTES


def test_a_model_keeps_its_host(loader: EngineLoader) -> None:
    first = loader.load(ADDER)
    loader.unload(first)
    second = loader.load(ADDER)
    loader.unload(second)
    assert first is second


def test_a_model_that_is_not_there_is_an_error(loader: EngineLoader) -> None:
    with pytest.raises(SourceError, match=r"a\.onnx"):
        loader.load(ABSENT)


def test_one_that_cannot_be_loaded_does_not_keep_the_pool_from_starting(loader: EngineLoader) -> None:
    loader.warm_up(WarmUp(kinds=(ABSENT, ADDER), variants=()))
    assert gc.get_freeze_count() > 0


def test_a_variant_is_warmed_up_only_where_its_weights_are(
    loader: EngineLoader, caplog: pytest.LogCaptureFixture
) -> None:
    opened: list[VersionId] = []
    before = loader.load

    def load(model: VersionId) -> EngineHost:
        opened.append(model)
        return before(model)

    loader.load = load  # type: ignore[method-assign]
    loader.warm_up(WarmUp(kinds=(), variants=(ABSENT, ADDER)))
    assert opened == [ADDER]
    assert not caplog.records
