"""A model that is made from a skeleton is the model that transformers loads, and shares its pages as that does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PretrainedConfig

from models.engines.skeleton import kind_of, take_skeleton
from tests.unit.models.checkpoints import bert, copied_bytes, llama, load, logits, mixtral, write_checkpoint


def another(folder: Path, template: Path) -> Path:
    """The same files with other numbers in the weights, laid out alike."""
    folder.mkdir()
    for path in template.iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).write_bytes(path.read_bytes())
            continue
        doubled = {name: 2 * tensor for name, tensor in load_file(path).items()}
        save_file(doubled, folder / path.name, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("shard_size", ["1GB", "20KB"])
@pytest.mark.parametrize("tied", [True, False])
def test_it_answers_as_the_model_that_transformers_loads(tmp_path: Path, shard_size: str, *, tied: bool) -> None:
    first = write_checkpoint(tmp_path / "first", llama(tied=tied), max_shard_size=shard_size)
    second = another(tmp_path / "second", first)
    assert kind_of(first) == kind_of(second)
    skeleton = take_skeleton(load(first, "float32"), first)
    assert skeleton is not None
    filled, loaded = skeleton.fill(second), load(second, "float32")
    assert torch.equal(logits(filled), logits(loaded))
    assert not torch.equal(logits(filled), logits(load(first, "float32")))
    assert copied_bytes(filled, second) == 0
    assert not filled.training
    assert (filled.get_parameter("model.embed_tokens.weight") is filled.lm_head.weight) is tied


def test_a_skeleton_weighs_little(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, llama())
    model = load(folder, "float32")
    skeleton = take_skeleton(model, folder)
    assert skeleton is not None
    small = len(skeleton.pickled)
    wider = llama()
    wider.vocab_size *= 100
    folder = write_checkpoint(tmp_path / "wide", wider)
    skeleton = take_skeleton(load(folder, "float32"), folder)
    assert skeleton is not None
    assert len(skeleton.pickled) == pytest.approx(small, rel=0.05)


def test_models_filled_from_one_skeleton_have_nothing_in_common(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, llama())
    skeleton = take_skeleton(load(folder, "float32"), folder)
    assert skeleton is not None
    one, other = skeleton.fill(folder), skeleton.fill(folder)
    one.config.use_cache = not other.config.use_cache
    one.set_attn_implementation("eager")
    assert one.config._attn_implementation != other.config._attn_implementation
    with torch.no_grad():
        one.get_parameter("model.embed_tokens.weight").zero_()
    assert torch.equal(logits(other), logits(load(folder, "float32")))


def test_a_weight_at_an_odd_address(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, llama())
    content = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    odd = (length + 3).to_bytes(8, "little") + content[8 : 8 + length] + b"   " + content[8 + length :]
    (folder / "model.safetensors").write_bytes(odd)
    model = load(folder, "float32")
    skeleton = take_skeleton(model, folder)
    assert skeleton is not None
    assert torch.equal(logits(skeleton.fill(folder)), logits(model))


def test_weights_that_loading_copies_leave_no_skeleton(tmp_path: Path) -> None:
    """Another model would be given a copy of this one's."""
    folder = write_checkpoint(tmp_path, mixtral())
    assert take_skeleton(load(folder, "float32"), folder) is None


def test_weights_that_nothing_reads_may_be_missing(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, llama(tied=False))
    tensors = load_file(folder / "model.safetensors")
    del tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    model = load(folder, "float32")
    assert take_skeleton(model, folder) is None
    assert take_skeleton(model, folder, unused="lm_head.") is not None


def test_modules_that_cannot_be_pickled_leave_no_skeleton(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, llama())
    model = load(folder, "float32")
    model.register_forward_hook(lambda *_: None)
    assert take_skeleton(model, folder) is None


@pytest.mark.parametrize("change", ["rms_norm_eps", "max_position_embeddings"])
def test_another_configuration_is_another_kind(tmp_path: Path, change: str) -> None:
    config = llama()
    first = write_checkpoint(tmp_path / "first", config)
    setattr(config, change, 2 * getattr(config, change))
    assert kind_of(first) != kind_of(write_checkpoint(tmp_path / "second", config))


@pytest.mark.parametrize("config", [llama(), bert()])
def test_another_layout_is_another_kind(tmp_path: Path, config: PretrainedConfig) -> None:
    first = write_checkpoint(tmp_path / "first", config)
    second = another(tmp_path / "second", first)
    tensors = load_file(second / "model.safetensors")
    extra = {**tensors, "extra": torch.zeros(1)}
    save_file(extra, second / "model.safetensors", metadata={"format": "pt"})
    assert kind_of(first) != kind_of(second)
