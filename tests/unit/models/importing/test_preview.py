"""A preview says what the import will say, whatever the source and the format, without the weights."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from models.errors import SourceError, StoreError, UnsafeWeightsError, VersionNotFoundError
from models.importing.importer import import_model
from models.importing.preview import preview
from models.local_store import LocalStore
from models.manifest import Manifest
from models.memory.account import total_bytes
from models.object_store import Bucket
from models.progress import NoProgress
from models.spec import ModelSpec
from models.types import WeightFormat
from tests.unit.models.checkpoints import bert, deepseek_v3, llama, mixtral, write_checkpoint
from tests.unit.models.hub_server import HubServer, serve_hub
from tests.unit.models.tiny_models import (
    write_encoder,
    write_gguf,
    write_onnx,
    write_sentence_transformer,
    write_tokenizer,
)


def spec_of(source: Path | str, **fields: object) -> ModelSpec:
    text = f"file:{source}" if isinstance(source, Path) else source
    return ModelSpec.model_validate({"model": "m", "source": text, **fields})


def facts(manifest: Manifest) -> Manifest:
    """All but the files, which a preview has not, and the time."""
    return manifest.model_copy(update={"files": (), "created": None})


def assert_foretold(spec: ModelSpec, tmp_path: Path) -> Manifest:
    foretold = preview(spec, NoProgress())
    assert foretold.files == ()
    imported = import_model(spec, LocalStore(tmp_path / "store"), NoProgress()).manifest
    assert facts(foretold) == facts(imported)
    return foretold


@pytest.fixture
def mixture(tmp_path: Path) -> Path:
    folder = write_checkpoint(tmp_path / "mixture", mixtral(), "bfloat16", max_shard_size="20KB")
    write_tokenizer(folder)
    return folder


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where previews work, which must be empty when they are done."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("dtype", [None, "float32", "float16"])
def test_shards_with_experts_that_are_merged(tmp_path: Path, mixture: Path, dtype: str | None) -> None:
    assert len(list(mixture.glob("*.safetensors"))) > 1
    foretold = assert_foretold(spec_of(mixture, dtype=dtype), tmp_path)
    assert foretold.dtype == (dtype or "bfloat16")
    assert foretold.weight_account is not None
    assert total_bytes(foretold.weight_account) == foretold.weight_bytes
    assert foretold.shared_weight_bytes == foretold.weight_bytes


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_an_encoder(tmp_path: Path, dtype: str | None) -> None:
    folder = write_checkpoint(tmp_path / "encoder", bert())
    write_tokenizer(folder)
    write_sentence_transformer(folder)
    assert assert_foretold(spec_of(folder, dtype=dtype), tmp_path).dtype == (dtype or "float32")


def test_tensors_that_are_kept_in_float32(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", deepseek_v3())
    write_tokenizer(folder)
    foretold = assert_foretold(spec_of(folder, dtype="bfloat16"), tmp_path)
    assert foretold.weight_bytes > 2 * foretold.num_parameters


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_a_gguf_file(tmp_path: Path, dtype: str | None) -> None:
    write_gguf(tmp_path / "m.gguf")
    foretold = assert_foretold(spec_of(tmp_path / "m.gguf", dtype=dtype), tmp_path)
    assert (foretold.format, foretold.dtype) == (WeightFormat.SAFETENSORS, dtype or "float32")


def test_a_pickled_state_dict(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "model", llama())
    write_tokenizer(folder)
    tensors = {"model.norm.weight": torch.ones(32), "ids": torch.arange(3)}
    torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert_foretold(spec_of(folder, dtype="bfloat16", allow_pickle=True), tmp_path)
    with pytest.raises(UnsafeWeightsError):
        preview(spec_of(folder), NoProgress())


def test_a_graph(tmp_path: Path) -> None:
    write_onnx(tmp_path / "onnx" / "add.onnx")
    assert assert_foretold(spec_of(tmp_path / "onnx"), tmp_path).shared_weight_bytes == 0


def test_a_tokenizer_from_a_second_source(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf")
    other = write_encoder(tmp_path / "encoder")
    foretold = assert_foretold(spec_of(tmp_path / "m.gguf", tokenizer=f"file:{other}"), tmp_path)
    assert foretold.tokenizer is not None
    assert foretold.tokenizer.tokenizer_class == "BertTokenizer"


@pytest.fixture
def hub(mixture: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    write_gguf(mixture / "m.gguf")
    with serve_hub({path.name: path.read_bytes() for path in sorted(mixture.iterdir())}) as server:
        _set_hf_endpoint(monkeypatch, server.endpoint)
        yield server


def _set_hf_endpoint(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """What the variable HF_ENDPOINT does, for a huggingface_hub that is imported already."""
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    template = f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def test_of_the_hubs_weights_only_the_headers_are_read(tmp_path: Path, mixture: Path, hub: HubServer) -> None:
    foretold = preview(spec_of("hf:org/name", dtype="float16"), NoProgress())
    assert not [name for name in hub.downloads if name.endswith((".safetensors", ".gguf"))]
    sizes = {path.name: path.stat().st_size for path in mixture.glob("*.safetensors")}
    assert {name for name, _, _ in hub.ranges} == sizes.keys()
    imported = import_model(spec_of("hf:org/name", dtype="float16"), LocalStore(tmp_path / "s"), NoProgress())
    assert facts(foretold) == facts(imported.manifest)


def test_a_gguf_file_of_the_hub(hub: HubServer) -> None:
    assert preview(spec_of("hf:org/name/m.gguf"), NoProgress()).num_parameters > 0
    assert (hub.downloads, [name for name, _, _ in hub.ranges]) == ([], ["m.gguf"])


def test_a_bucket(tmp_path: Path, mixture: Path, s3_bucket: str) -> None:
    bucket = Bucket(s3_bucket, StoreError)
    for path in mixture.iterdir():
        bucket.upload(path, f"mixtures/{path.name}")
    assert_foretold(spec_of(f"{s3_bucket}/mixtures"), tmp_path)


def test_weights_that_cannot_be_imported_cannot_be_previewed(tmp_path: Path, mixture: Path) -> None:
    shard = sorted(mixture.glob("*.safetensors"))[0]
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(SourceError, match=rf"{shard.name} is not a whole safetensors file"):
        preview(spec_of(mixture), NoProgress())
    shard.unlink()
    with pytest.raises(SourceError, match=f"do not agree on {shard.name}"):
        preview(spec_of(mixture), NoProgress())


def test_without_a_source_there_is_nothing_to_read() -> None:
    with pytest.raises(VersionNotFoundError, match="m@1 is not in the model store, and there is no source"):
        preview(ModelSpec(model="m"), NoProgress())
