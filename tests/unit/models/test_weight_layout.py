from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from transformers import PretrainedConfig

from models.errors import SourceError
from models.safetensors_file import StoredTensor
from models.types import Task
from models.weight_layout import Piece, WeightLayout
from tests.unit.models.checkpoints import (
    bert,
    copied_bytes,
    deepseek_v3,
    headers,
    llama,
    load,
    mixtral,
    qwen3_moe,
    write_checkpoint,
)
from tests.unit.models.tiny_models import write_json


def pieces_of(folder: Path, dtype: str, task: Task = Task.GENERATE) -> list[Piece]:
    return WeightLayout(folder, task, dtype).pieces(headers(folder))


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_in_its_own_dtype_is_attached_as_it_lies(tmp_path: Path, tied: bool) -> None:
    folder = write_checkpoint(tmp_path, llama(tied=tied), "bfloat16")
    assert all(piece.is_attached for piece in pieces_of(folder, "bfloat16"))


@pytest.mark.parametrize("config", [llama(), mixtral(), qwen3_moe(), deepseek_v3()], ids=lambda c: c.model_type)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_foretells_what_a_process_copies(tmp_path: Path, config: PretrainedConfig, dtype: str) -> None:
    folder = write_checkpoint(tmp_path, config)
    foretold = sum(piece.num_bytes for piece in pieces_of(folder, dtype) if not piece.is_attached)
    assert copied_bytes(load(folder, dtype), folder) == foretold
    assert (foretold == 0) == (config.model_type == "llama" and dtype == "float32")


def test_experts_become_one_tensor(tmp_path: Path) -> None:
    merged = [piece for piece in pieces_of(write_checkpoint(tmp_path, mixtral()), "float32") if piece.is_converted]
    assert [piece.wanted for piece in merged][:2] == [
        (StoredTensor("model.layers.0.mlp.experts.gate_up_proj", "float32", (4, 96, 32)),),
        (StoredTensor("model.layers.0.mlp.experts.down_proj", "float32", (4, 32, 48)),),
    ]
    assert [len(piece.stored) for piece in merged] == [8, 4, 8, 4]


def test_what_a_model_keeps_in_float32_is_not_cast(tmp_path: Path) -> None:
    pieces = pieces_of(write_checkpoint(tmp_path, deepseek_v3()), "bfloat16")
    kept = [tensor.name for piece in pieces for tensor in piece.wanted if tensor.dtype == "float32"]
    assert kept == ["model.layers.1.mlp.gate.e_score_correction_bias"]


def test_what_the_model_does_not_take_stays(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, bert())
    extra = StoredTensor("cls.predictions.bias", "float32", (96,))
    (piece,) = WeightLayout(folder, Task.EMBED, "float16").pieces([extra])
    assert (piece.target, piece.wanted, piece.is_attached) == (None, (extra,), True)


def test_names_with_and_without_the_base_models_prefix(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, bert())
    named = StoredTensor("bert.embeddings.word_embeddings.weight", "float16", (96, 32))
    bare = StoredTensor("embeddings.word_embeddings.weight", "float16", (96, 32))
    for tensor in (named, bare):
        (piece,) = WeightLayout(folder, Task.EMBED, "float16").pieces([tensor])
        assert (piece.target, piece.is_attached) == ("embeddings.word_embeddings.weight", True)


def test_a_model_that_transformers_does_not_know_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"model_type": "unheard_of", "architectures": ["UnheardOfForCausalLM"]})
    with pytest.raises(SourceError, match=r"cannot build the model that config\.json describes"):
        WeightLayout(tmp_path, Task.GENERATE, "float32")


def test_an_expert_that_does_not_fit_the_others_is_named(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, mixtral())
    layout = WeightLayout(folder, Task.GENERATE, "float32")
    experts = [tensor for tensor in headers(folder) if ".layers.0." in tensor.name and ".w2." in tensor.name]
    broken = [*experts[:-1], replace(experts[-1], shape=(32, 47))]
    with pytest.raises(SourceError, match=r"4 tensors, .*w2\.weight first, do not make up .*down_proj"):
        layout.pieces(broken)
