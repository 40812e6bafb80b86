from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from models.errors import ChecksumError, SourceError, StoreError, UnsafeWeightsError, VersionNotFoundError
from models.importing.importer import import_model
from models.local_store import LocalStore, StoredModel
from models.manifest import EmbeddingFacts, TensorFacts
from models.object_store import Bucket
from models.progress import NoProgress
from models.spec import ModelSpec
from models.types import Pooling, Task, WeightFormat
from tests.unit.models.checkpoints import (
    copied_bytes,
    headers,
    llama,
    load,
    logits,
    mixtral,
    write_checkpoint,
)
from tests.unit.models.tiny_models import (
    BERT_CONFIG,
    LLAMA_CONFIG,
    write_encoder,
    write_json,
    write_onnx,
    write_tokenizer,
    write_weights,
)

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return write_encoder(tmp_path / "encoder")


def import_from(store: LocalStore, source: Path | str, **fields: object) -> StoredModel:
    text = f"file:{source}" if isinstance(source, Path) else source
    spec = ModelSpec.model_validate({"model": "m", "source": text, **fields})
    return import_model(spec, store, NoProgress())


def names(stored: StoredModel) -> set[str]:
    return {entry.path for entry in stored.manifest.files}


def test_an_encoder_is_described_and_only_listed_files_are_taken(store: LocalStore, encoder: Path) -> None:
    stored = import_from(store, encoder)
    manifest = stored.manifest
    assert names(stored) == {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "modules.json",
        "1_Pooling/config.json",
        "sentence_bert_config.json",
        "README.md",
    }
    assert (manifest.task, manifest.format) == (Task.EMBED, WeightFormat.SAFETENSORS)
    assert (manifest.dtype, manifest.num_parameters, manifest.weight_bytes) == ("float32", 48, 176)
    assert manifest.embedding == EmbeddingFacts(dimension=8, max_tokens=16)
    assert manifest.architecture is not None
    assert manifest.architecture.hidden_size == 8
    assert manifest.licence == "apache-2.0"
    store.verify(manifest.id)


def test_a_version_that_is_there_is_attached_without_its_source(store: LocalStore, encoder: Path) -> None:
    first = import_from(store, encoder)
    encoder.rename(encoder.with_name("moved"))
    assert import_from(store, encoder) == first
    assert import_model(ModelSpec(model="m"), store, NoProgress()) == first


def test_a_version_without_a_source_must_be_there(store: LocalStore) -> None:
    with pytest.raises(VersionNotFoundError, match=r"m@1 is not in.*stowage models import m@1 --source"):
        import_model(ModelSpec(model="m"), store, NoProgress())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"source": "file:/elsewhere"}, "the source file:/.*/encoder, not file:/elsewhere"),
        ({"tokenizer": "file:/elsewhere"}, "the tokenizer None, not file:/elsewhere"),
        ({"task": "generate"}, "the task embed, not generate"),
        ({"dtype": "bfloat16"}, "the dtype float32, not bfloat16"),
    ],
)
def test_a_version_never_changes(store: LocalStore, encoder: Path, fields: dict[str, str], words: str) -> None:
    import_from(store, encoder)
    with pytest.raises(StoreError, match=words):
        import_from(store, fields.pop("source", encoder), **fields)


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    folder = write_checkpoint(tmp_path / "generator", llama())
    write_tokenizer(folder)
    return folder


def test_a_dtype_is_cast_once_and_written_down(store: LocalStore, generator: Path) -> None:
    stored = import_from(store, generator, dtype="bfloat16")
    manifest = stored.manifest
    assert (manifest.dtype, manifest.weight_bytes) == ("bfloat16", 2 * manifest.num_parameters)
    assert manifest.shared_weight_bytes == manifest.weight_bytes
    assert {tensor.dtype for tensor in headers(stored.folder)} == {"bfloat16"}
    assert json.loads((stored.folder / "config.json").read_text())["dtype"] == "bfloat16"
    model = load(stored.folder, "bfloat16")
    assert copied_bytes(model, stored.folder) == 0
    assert torch.equal(logits(model), logits(load(generator, "bfloat16")))
    assert {tensor.dtype for tensor in headers(generator)} == {"float32"}
    store.verify(manifest.id)


def test_another_dtype_is_another_version(store: LocalStore, generator: Path) -> None:
    first = import_from(store, generator, dtype="bfloat16")
    assert import_from(store, generator) == first
    with pytest.raises(StoreError, match=r"the dtype bfloat16, not float16.*import under a version that is not"):
        import_from(store, generator, dtype="float16")
    assert import_from(store, generator, dtype="float16", version="2").manifest.dtype == "float16"


def test_weights_of_the_asked_dtype_are_copied_byte_for_byte(store: LocalStore, generator: Path) -> None:
    stored = import_from(store, generator, dtype="float32")
    assert (stored.folder / "model.safetensors").read_bytes() == (generator / "model.safetensors").read_bytes()


def test_experts_are_merged_once(store: LocalStore, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "mixture", mixtral(), max_shard_size="20KB")
    write_tokenizer(folder)
    stored = import_from(store, folder)
    assert any(tensor.name.endswith("experts.gate_up_proj") for tensor in headers(stored.folder))
    assert "model.safetensors.index.json" in names(stored)
    model = load(stored.folder, "float32")
    assert copied_bytes(model, stored.folder) == 0
    assert torch.equal(logits(model), logits(load(folder, "float32")))


def test_a_model_that_transformers_does_not_know_is_refused(store: LocalStore, generator: Path) -> None:
    write_json(generator / "config.json", {**LLAMA_CONFIG, "model_type": "unheard_of"})
    with pytest.raises(SourceError, match="transformers cannot build the model"):
        import_from(store, generator)
    assert store.list() == ()


def test_a_causal_model_generates(store: LocalStore, tmp_path: Path) -> None:
    folder = tmp_path / "llama"
    folder.mkdir()
    write_weights(folder / "odd_name.safetensors")
    write_json(folder / "config.json", LLAMA_CONFIG)
    write_tokenizer(folder)
    stored = import_from(store, folder)
    assert stored.manifest.task is Task.GENERATE
    assert stored.manifest.embedding is None
    assert "model.safetensors" in names(stored)


def test_an_encoder_cannot_be_told_to_generate(store: LocalStore, encoder: Path) -> None:
    with pytest.raises(SourceError, match="does not generate text"):
        import_from(store, encoder, task=Task.GENERATE)
    assert store.list() == ()


@pytest.mark.parametrize(
    ("missing", "words"), [("config.json", "no config.json"), ("tokenizer.json", "needs a tokenizer")]
)
def test_what_is_missing_is_named(store: LocalStore, encoder: Path, missing: str, words: str) -> None:
    (encoder / missing).unlink()
    with pytest.raises(SourceError, match=words):
        import_from(store, encoder)
    assert store.list() == ()


def test_a_graph_is_described(store: LocalStore, tmp_path: Path) -> None:
    write_onnx(tmp_path / "onnx" / "add.onnx")
    manifest = import_from(store, tmp_path / "onnx" / "add.onnx").manifest
    assert (manifest.task, manifest.format, manifest.dtype) == (Task.INFER, WeightFormat.ONNX, "float32")
    assert manifest.inputs == (TensorFacts(name="x", datatype="FP32", shape=(-1, 4)),)
    assert manifest.outputs == (TensorFacts(name="y", datatype="FP32", shape=(-1, 4)),)
    assert (manifest.num_parameters, manifest.weight_bytes) == (4, 16)


def test_a_second_source_gives_the_tokenizer(store: LocalStore, encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    write_weights(folder / "model.safetensors")
    write_json(folder / "config.json", BERT_CONFIG)
    (folder / "vocab.txt").write_text("old", encoding="utf-8")
    stored = import_from(store, folder, tokenizer=f"file:{encoder}")
    assert stored.manifest.tokenizer_source == f"file:{encoder}"
    assert stored.manifest.embedding == EmbeddingFacts(pooling=Pooling.MEAN, dimension=8, max_tokens=16)
    assert "vocab.txt" not in names(stored)
    assert (stored.folder / "tokenizer.json").read_bytes() == (encoder / "tokenizer.json").read_bytes()


def test_the_pooling_beside_the_weights_stays(store: LocalStore, encoder: Path, tmp_path: Path) -> None:
    other = write_encoder(tmp_path / "other")
    write_json(other / "1_Pooling" / "config.json", {"pooling_mode": "cls"})
    embedding = import_from(store, encoder, tokenizer=f"file:{other}").manifest.embedding
    assert embedding is not None
    assert embedding.pooling is Pooling.MEAN


def test_code_of_its_own_is_refused(store: LocalStore, encoder: Path) -> None:
    auto_map = {"AutoModel": "modeling_evil.Evil"}
    write_json(encoder / "config.json", {**BERT_CONFIG, "model_type": "evil", "auto_map": auto_map})
    with pytest.raises(UnsafeWeightsError, match=r"'evil' model.* run code of its own: modeling_evil\.Evil"):
        import_from(store, encoder)
    assert store.list() == ()


def test_code_that_transformers_has_itself_is_not_needed(store: LocalStore, encoder: Path) -> None:
    write_json(encoder / "config.json", {**BERT_CONFIG, "auto_map": {"AutoModel": "modeling_evil.Evil"}})
    assert "modeling_evil.py" not in names(import_from(store, encoder))


@pytest.fixture
def pickled(encoder: Path) -> Path:
    (encoder / "model.safetensors").unlink()
    torch.save({"w": torch.arange(6.0).reshape(2, 3)}, encoder / "pytorch_model.bin")
    return encoder


def test_pickles_are_refused(store: LocalStore, pickled: Path) -> None:
    with pytest.raises(UnsafeWeightsError, match=r"pytorch_model\.bin: such a file can run any code"):
        import_from(store, pickled)


def test_a_state_dict_is_converted_when_allowed(store: LocalStore, pickled: Path) -> None:
    stored = import_from(store, pickled, allow_pickle=True, dtype="bfloat16")
    assert (stored.manifest.format, stored.manifest.dtype) == (WeightFormat.SAFETENSORS, "bfloat16")
    assert "pytorch_model.bin" not in names(stored)
    with safe_open(stored.folder / "model.safetensors", framework="pt") as file:
        assert file.get_tensor("w").tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_source_in_a_bucket(store: LocalStore, encoder: Path, s3_bucket: str) -> None:
    bucket = Bucket(s3_bucket, StoreError)
    for path in encoder.rglob("*"):
        if path.is_file():
            bucket.upload(path, f"encoders/{path.relative_to(encoder).as_posix()}")
    from_bucket = import_from(store, f"{s3_bucket}/encoders")
    assert from_bucket.manifest.files == import_from(store, encoder, version="2").manifest.files
    assert list((store.root / ".staging").iterdir()) == []


def test_a_file_that_is_not_what_its_package_recorded_is_refused(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_onnx(tmp_path / "tiny_graph" / "m.onnx")
    metadata = tmp_path / "tiny_graph-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-graph\nVersion: 1\n", encoding="utf-8")
    (metadata / "top_level.txt").write_text("tiny_graph\n", encoding="utf-8")
    (metadata / "RECORD").write_text(f"tiny_graph/m.onnx,sha256={'A' * 43},1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    actual = hashlib.sha256((tmp_path / "tiny_graph" / "m.onnx").read_bytes()).hexdigest()
    with pytest.raises(ChecksumError, match=rf"m\.onnx has SHA-256 {actual}, but its source says 0000"):
        import_from(store, "package:tiny_graph/m.onnx")
    assert store.list() == ()


def test_attaching_imports_no_torch(store: LocalStore, encoder: Path) -> None:
    import_from(store, encoder)
    program = (
        "import sys\n"
        "from models.importing.importer import import_model\n"
        "from models.progress import NoProgress\n"
        "from models.spec import ModelSpec\n"
        "from models.store import open_store\n"
        f"spec = ModelSpec(model='m', source='file:{encoder}')\n"
        f"import_model(spec, open_store({str(store.root)!r}), NoProgress())\n"
        "print([name for name in ('torch', 'transformers', 'onnxruntime', 'ray') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
