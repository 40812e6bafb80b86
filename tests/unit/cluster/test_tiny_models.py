from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cluster.tiny_models import write_tiny_models
from models.engines.base import EngineSettings, GenerationEngine
from models.engines.registry import create_engine, resolve_engine
from models.importing.importer import import_model
from models.local_store import LocalStore
from models.progress import NoProgress
from models.spec import ModelSpec
from models.types import EmbeddingRequest, GenerationRequest, SamplingParams


@pytest.mark.parametrize("position", [0, 1, 2])
async def test_every_engine_serves_its_model(tmp_path: Path, position: int) -> None:
    model = write_tiny_models(tmp_path)[position]
    spec = ModelSpec(model=model.engine, source=model.source, task=model.task, tokenizer=model.tokenizer)
    stored = import_model(spec, LocalStore(tmp_path / "store"), NoProgress())
    assert resolve_engine(stored.manifest, None) == model.engine
    assert stored.manifest.num_parameters < 2000
    settings = EngineSettings(max_model_len=16, num_kv_pages=8, page_size=16, max_num_seqs=1)
    engine = create_engine(model.engine, stored.folder, stored.manifest, settings)
    try:
        if isinstance(engine, GenerationEngine):
            request = GenerationRequest("r", "a b c", SamplingParams(max_tokens=2, temperature=0))
            assert [chunk.usage async for chunk in engine.generate(request)][-1] is not None
        else:
            assert engine.embed(EmbeddingRequest(("a b c",)).inputs).vectors.shape[0] == 1  # type: ignore[attr-defined]
    finally:
        engine.close()


def test_the_graph_is_what_onnx_makes(tmp_path: Path) -> None:
    write_tiny_models(tmp_path)
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "tokens"])
    states = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", 2])
    table = numpy_helper.from_array(np.zeros((6, 2), dtype=np.float32), "table")
    node = helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])
    graph = helper.make_graph([node], "tiny", [ids], [states], [table])
    expected = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    assert onnx.load(tmp_path / "model.onnx") == expected
