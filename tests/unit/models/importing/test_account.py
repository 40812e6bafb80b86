"""Which bytes of a checkpoint are where, beside what transformers says of the same model."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from transformers import CONFIG_MAPPING

from models.importing.account import account_for
from models.manifest import LayerBytes, WeightAccount
from models.memory.account import TENSOR_FAMILIES, weight_account
from models.safetensors_file import StoredTensor, read_header
from tests.unit.models.known_models import KnownModel, known
from tests.unit.models.meta_weights import write_meta_weights

STACKS = ["llama-3.1-8b", "llama-3.2-1b", "smollm2-135m", "qwen2.5-0.5b", "qwen3-8b", "mistral-7b-v0.1"]
STACKS += ["gemma-3-1b", "qwen3-30b-a3b", "bert-base", "minilm-l6", "roberta-base", "xlm-roberta-base"]
OTHERS = ["gpt2", "gemma-3-4b", "t5-base", "vit-base-patch16-224", "starcoderbase-1b", "falcon-7b"]


def tensors_of(model: KnownModel, folder: Path) -> list[StoredTensor]:
    write_meta_weights(model, folder / "model.safetensors")
    return read_header(folder / "model.safetensors")


def styled_bytes(model: KnownModel, tensors: list[StoredTensor], style: str) -> int:
    """Bytes of the matrices to which transformers' plan for the family gives the style."""
    plan = CONFIG_MAPPING[model.facts.model_type].base_model_tp_plan
    assert plan is not None
    patterns = [name.replace(".", r"\.").replace("*", r"\d+") for name, each in plan.items() if each == style]
    bias = "|bias" if style == "colwise" else ""
    wanted = re.compile(rf".*(?:{'|'.join(patterns)})\.(?:weight{bias})")
    return sum(tensor.num_bytes for tensor in tensors if wanted.fullmatch(tensor.name))


@pytest.mark.parametrize("name", STACKS)
def test_every_byte_of_a_stack_is_somewhere(name: str, tmp_path: Path) -> None:
    model = known(name)
    tensors = tensors_of(model, tmp_path)
    account = account_for(tensors)
    assert account is not None
    layers = account.each_layer
    pooler_bytes = sum(tensor.num_bytes for tensor in tensors if "pooler" in tensor.name)
    in_layers = sum(layer.bytes for layer in layers)
    total_bytes = sum(tensor.num_bytes for tensor in tensors)
    assert (
        account.embedding_bytes + in_layers + account.norm_bytes + account.head_bytes == total_bytes - pooler_bytes
    )
    assert len(layers) == model.facts.num_hidden_layers
    assert len(account.layers) < 3
    assert account.embedding_bytes >= model.facts.vocab_size * model.facts.hidden_size * (
        total_bytes // sum(tensor.num_elements for tensor in tensors)
    )


@pytest.mark.parametrize("name", [name for name in STACKS if known(name).facts.model_type in TENSOR_FAMILIES])
def test_what_can_be_sliced_is_what_transformers_slices(name: str, tmp_path: Path) -> None:
    model = known(name)
    tensors = tensors_of(model, tmp_path)
    account = account_for(tensors)
    assert account is not None
    assert sum(layer.row_bytes for layer in account.each_layer) == styled_bytes(model, tensors, "colwise")
    assert sum(layer.column_bytes for layer in account.each_layer) == styled_bytes(model, tensors, "rowwise")


@pytest.mark.parametrize("name", [name for name in STACKS if name != "qwen3-30b-a3b"])
def test_the_formula_for_old_manifests_agrees(name: str, tmp_path: Path) -> None:
    model = known(name)
    stored, computed = account_for(tensors_of(model, tmp_path)), weight_account(model.manifest())
    assert stored is not None
    assert computed is not None
    assert computed.embedding_bytes == pytest.approx(stored.embedding_bytes, rel=0.001)
    assert computed.head_bytes == stored.head_bytes
    for ours, theirs in zip(computed.each_layer, stored.each_layer, strict=True):
        assert ours.bytes == pytest.approx(theirs.bytes, rel=0.005)
        assert ours.row_bytes == pytest.approx(theirs.row_bytes if theirs.row_bytes else 0, rel=0.005)


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_stack_has_no_account(name: str, tmp_path: Path) -> None:
    assert account_for(tensors_of(known(name), tmp_path)) is None
    assert weight_account(known(name).manifest()) is None


def test_layers_of_the_same_size_are_told_once_and_gaps_are_refused() -> None:
    def tensors(*layers: int) -> list[StoredTensor]:
        sizes = [("model.embed_tokens.weight", 8)] + [(f"model.layers.{i}.mlp.up_proj.weight", 4) for i in layers]
        return [StoredTensor(name, "float32", (size,)) for name, size in sizes]

    layer = LayerBytes(num_layers=3, bytes=16, row_bytes=16)
    assert account_for(tensors(2, 0, 1)) == WeightAccount(embedding_bytes=32, layers=(layer,))
    assert account_for(tensors(0, 2)) is None
    assert account_for(tensors()) is None
