from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import PretrainedConfig

from models.errors import SourceError
from models.importing.settle import Settlement, settle
from models.safetensors_file import StoredTensor
from models.spec import DType
from models.types import Task
from tests.unit.models.checkpoints import deepseek_v3, headers, llama, mixtral, write_checkpoint


def settle_folder(folder: Path, dtype: DType | None = None) -> Settlement:
    return settle(headers(folder), folder, Task.GENERATE, dtype)


def test_what_is_attached_as_it_lies_is_left_alone(tmp_path: Path) -> None:
    settlement = settle_folder(write_checkpoint(tmp_path, llama(), "bfloat16"), "bfloat16")
    assert settlement.rewriting is None
    assert settlement.totals.shared_bytes == settlement.totals.weight_bytes


@pytest.mark.parametrize("config", [mixtral(), deepseek_v3()], ids=lambda config: config.model_type)
def test_what_is_merged_at_load_is_merged_once(tmp_path: Path, config: PretrainedConfig) -> None:
    folder = write_checkpoint(tmp_path, config)
    settlement = settle_folder(folder)
    assert settlement.rewriting is not None
    assert settlement.totals.shared_bytes == settlement.totals.weight_bytes
    assert settlement.totals.weight_bytes == sum(tensor.num_bytes for tensor in headers(folder))


def test_the_asked_dtype_is_what_is_counted(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, llama())
    totals = settle_folder(folder, "float16").totals
    assert totals.dtype == "float16"
    assert 2 * totals.weight_bytes == sum(tensor.num_bytes for tensor in headers(folder))


def test_the_few_tensors_of_another_dtype_are_cast_to_that_of_most(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, llama(), "bfloat16")
    mixed = [
        replace(tensor, dtype="float32") if tensor.name.endswith("norm.weight") else tensor
        for tensor in headers(folder)
    ]
    settlement = settle(mixed, folder, Task.GENERATE, None)
    assert settlement.rewriting is not None
    assert {tensor.dtype for tensor in settlement.rewriting.tensors} == {"bfloat16"}


@pytest.fixture
def quantised(tmp_path: Path) -> Path:
    folder = write_checkpoint(tmp_path, llama())
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_quantised_weights_stay_and_count_as_each_processs_own(quantised: Path) -> None:
    settlement = settle_folder(quantised)
    assert settlement.rewriting is None
    assert settlement.totals.shared_bytes == 0


def test_quantised_weights_are_not_cast(quantised: Path) -> None:
    with pytest.raises(SourceError, match=r"quantised .* a cast to bfloat16 would not undo"):
        settle_folder(quantised, "bfloat16")


def test_weights_without_any_floating_point_number_are_quantised(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, llama())
    packed = [StoredTensor("model.layers.0.mlp.up_proj.qweight", "int32", (4, 48))]
    assert settle(packed, folder, Task.GENERATE, None).totals.shared_bytes == 0
    with pytest.raises(SourceError, match="most are int32"):
        settle(packed, folder, Task.GENERATE, "float32")
