from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from models.errors import SourceError
from models.importing.tensors import TensorTotals, count_initializers, count_tensors, safetensors_files
from models.safetensors_file import read_header
from tests.unit.models.tiny_models import onnx_model, onnx_tensor, write_json, write_weights


def count(folder: Path) -> TensorTotals:
    return count_tensors([tensor for path in safetensors_files(folder) for tensor in read_header(path)])


def test_safetensors_are_counted_from_their_header(tmp_path: Path) -> None:
    write_weights(tmp_path / "model.safetensors")
    totals = count(tmp_path)
    assert totals == TensorTotals("float32", num_parameters=48, weight_bytes=176, shared_bytes=176)


def write_shards(folder: Path, named: list[str], present: list[str]) -> None:
    for name in present:
        save_file({name: np.zeros(4, np.float16)}, folder / name)
    write_json(folder / "model.safetensors.index.json", {"weight_map": {name: name for name in named}})


def test_shards_are_counted_together(tmp_path: Path) -> None:
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    write_shards(tmp_path, names, names)
    assert count(tmp_path) == TensorTotals("float16", 8, 16, 16)


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    write_shards(tmp_path, names, names[:1])
    with pytest.raises(SourceError, match=r"do not agree on model-00002-of-00002\.safetensors"):
        count(tmp_path)


@pytest.mark.parametrize("keep_bytes", [0, 4, 100, 300])
def test_a_truncated_safetensors_file_is_refused(tmp_path: Path, keep_bytes: int) -> None:
    path = tmp_path / "model.safetensors"
    write_weights(path)
    assert keep_bytes < path.stat().st_size
    path.write_bytes(path.read_bytes()[:keep_bytes])
    with pytest.raises(SourceError, match="not a whole safetensors file"):
        count(tmp_path)


def test_no_tensors_at_all(tmp_path: Path) -> None:
    save_file({}, tmp_path / "model.safetensors")
    with pytest.raises(SourceError, match="hold no tensors"):
        count(tmp_path)


def test_the_type_of_most_bytes_counts_for_onnx(tmp_path: Path) -> None:
    tensors = [onnx_tensor("bias", 1, (4,), bytes(16)), onnx_tensor("w", 3, (10, 10), bytes(100))]
    (tmp_path / "m.onnx").write_bytes(onnx_model(tensors, (4,)))
    assert count_initializers(tmp_path / "m.onnx") == TensorTotals("int8", 104, 116, 0)


def test_what_a_process_must_copy_is_not_shared(tmp_path: Path) -> None:
    write_weights(tmp_path / "model.safetensors")
    totals = count_tensors(read_header(tmp_path / "model.safetensors"), private_bytes=16)
    assert (totals.weight_bytes, totals.shared_bytes) == (176, 160)
