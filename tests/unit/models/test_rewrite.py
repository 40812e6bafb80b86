from __future__ import annotations

import json
from pathlib import Path
from shutil import copy

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PretrainedConfig

from models import rewrite
from models.progress import NoProgress
from models.rewrite import Rewriting
from models.safetensors_file import StoredTensor, read_header
from models.types import Task
from models.weight_layout import WeightLayout
from tests.unit.models.checkpoints import (
    copied_bytes,
    deepseek_v3,
    headers,
    llama,
    load,
    logits,
    mixtral,
    qwen3_moe,
    write_checkpoint,
)


def write_anew(source: Path, target: Path, dtype: str) -> Path:
    target.mkdir()
    copy(source / "config.json", target)
    layout = WeightLayout(source, Task.GENERATE, dtype)
    rewriting = Rewriting(layout, tuple(layout.pieces(headers(source))))
    rewriting.write(sorted(source.glob("*.safetensors")), target, NoProgress())
    assert sorted(headers(target), key=str) == sorted(rewriting.tensors, key=str)
    return target


@pytest.mark.parametrize("config", [llama(), mixtral(), qwen3_moe(), deepseek_v3()], ids=lambda c: c.model_type)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("max_shard_size", ["1GB", "20KB"])
def test_what_is_written_is_attached_and_computes_the_same(
    tmp_path: Path, config: PretrainedConfig, dtype: str, max_shard_size: str
) -> None:
    source = write_checkpoint(tmp_path / "source", config, max_shard_size=max_shard_size)
    target = write_anew(source, tmp_path / "target", dtype)
    written = load(target, dtype)
    assert copied_bytes(written, target) == 0
    assert torch.equal(logits(written), logits(load(source, dtype)))
    assert len(list(target.glob("*.safetensors"))) == len(list(source.glob("*.safetensors")))


def test_shards_have_an_index(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "source", mixtral(), max_shard_size="20KB")
    target = write_anew(source, tmp_path / "target", "bfloat16")
    index = json.loads((target / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": sum(tensor.num_bytes for tensor in headers(target))}
    for name, file_name in index["weight_map"].items():
        assert name in {tensor.name for tensor in read_header(target / file_name)}
    assert len(index["weight_map"]) == len(headers(target))


def test_tensors_are_cast_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_checkpoint(tmp_path / "source", llama())
    whole = write_anew(source, tmp_path / "whole", "bfloat16")
    monkeypatch.setattr(rewrite, "_SLICE_BYTES", 1000)
    sliced = write_anew(source, tmp_path / "sliced", "bfloat16")
    assert (sliced / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_every_tensor_is_aligned_to_its_own_size(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "source", deepseek_v3())
    tensors = load_file(source / "model.safetensors")
    save_file({**tensors, "odd": torch.ones(3, dtype=torch.uint8)}, source / "model.safetensors")
    path = write_anew(source, tmp_path / "target", "bfloat16") / "model.safetensors"
    content = path.read_bytes()
    data = 8 + int.from_bytes(content[:8], "little")
    assert data % 64 == 0
    entries = {name: each for name, each in json.loads(content[8:data]).items() if name != "__metadata__"}
    sizes = {"F32": 4, "BF16": 2, "U8": 1}
    assert {each["dtype"] for each in entries.values()} == set(sizes)
    assert all(each["data_offsets"][0] % sizes[each["dtype"]] == 0 for each in entries.values())


def test_scalars_and_empty_tensors_are_kept(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "source", llama())
    odd = {"scalar": torch.tensor(3.0), "empty": torch.empty((0, 4))}
    save_file({**load_file(source / "model.safetensors"), **odd}, source / "model.safetensors")
    written = load_file(write_anew(source, tmp_path / "target", "bfloat16") / "model.safetensors")
    assert written["scalar"].item() == 3
    assert written["empty"].shape == (0, 4)


def test_bytes_are_reported(tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []

    class Recorded(NoProgress):
        def advance(self, done_bytes: int, total_bytes: int) -> None:
            reports.append((done_bytes, total_bytes))

    source = write_checkpoint(tmp_path / "source", llama())
    layout = WeightLayout(source, Task.GENERATE, "bfloat16")
    rewriting = Rewriting(layout, tuple(layout.pieces(headers(source))))
    rewriting.write([source / "model.safetensors"], tmp_path, Recorded())
    total_bytes = sum(tensor.num_bytes for tensor in rewriting.tensors)
    assert reports[-1] == (total_bytes, total_bytes)


def test_a_piece_that_is_only_cast_is_not_converted(tmp_path: Path) -> None:
    layout = WeightLayout(write_checkpoint(tmp_path, llama()), Task.GENERATE, "float32")
    (piece,) = layout.pieces([StoredTensor("model.norm.weight", "float32", (32,))])
    with pytest.raises(AssertionError, match=r"model\.norm\.weight.* is not converted"):
        layout.make(piece, lambda _: torch.ones(32))
