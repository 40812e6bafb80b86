"""The stages of a model, one after the other, against the whole model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch.distributed import HashStore  # type: ignore[attr-defined]
from torch.distributed.device_mesh import DeviceMesh
from transformers import PreTrainedModel

from models.engines.mapped_weights import private_weight_bytes
from models.errors import ConfigError, StoreError
from models.manifest import Manifest
from models.parallel.layout import Degree, GroupLayout
from models.parallel.stage import StageModel, load_stage, stored_tensors
from models.progress import NoProgress
from tests.unit.models.parallel.families import NUM_LAYERS, VOCAB_SIZE, build, config_of, store

FAMILIES = ("llama", "qwen2", "qwen3", "mistral", "smollm3", "gemma3_text", "bert", "roberta", "xlm-roberta")
UNEVEN = GroupLayout(Degree(1, 3), (1, 3, NUM_LAYERS))
HALVES = GroupLayout(Degree(1, 2), (2, NUM_LAYERS))


def stages(folder: Path, manifest: Manifest, layout: GroupLayout) -> list[StageModel]:
    """From the first to the last."""
    ranks = [layout.rank(stage, 0) for stage in range(layout.degree.pipeline)]
    return [load_stage(folder, manifest, layout.shard(rank), "cpu", None, NoProgress()) for rank in ranks]


@torch.no_grad()
def run(divided: list[StageModel], ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    entering = {"input_ids": ids}
    for stage in divided[:-1]:
        entering = {"inputs_embeds": stage.model.base_model(**entering, attention_mask=mask).last_hidden_state}
    return scores(divided[-1].model, entering, mask)


@torch.no_grad()
def scores(model: PreTrainedModel, entering: dict[str, torch.Tensor], mask: torch.Tensor) -> torch.Tensor:
    output = model(**entering, attention_mask=mask)
    found: torch.Tensor = output.last_hidden_state if model is model.base_model else output.logits
    return found


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    """Two texts, the second one padded."""
    ids = torch.arange(2, 26).reshape(2, 12) * 3 % (VOCAB_SIZE - 2) + 2
    mask = torch.ones_like(ids)
    ids[1, 8:], mask[1, 8:] = 1, 0
    return ids, mask


def test_a_tied_table_lies_once_on_a_device_that_is_not_mapped(tmp_path: Path) -> None:
    """``cpu:0`` stands for a GPU: weights are moved there."""
    manifest = store(build(config_of("qwen3")), tmp_path)
    shard = GroupLayout(Degree(1, 1), (NUM_LAYERS,)).shard(0)
    stage = load_stage(tmp_path, manifest, shard, "cpu:0", None, NoProgress())
    parameters = dict(stage.model.named_parameters(remove_duplicate=False))
    assert parameters["lm_head.weight"] is parameters["model.embed_tokens.weight"]
    assert not any(parameter.is_meta for parameter in parameters.values())


@pytest.mark.parametrize("family", FAMILIES)
def test_the_stages_compute_what_the_whole_model_computes(family: str, tmp_path: Path) -> None:
    model = build(config_of(family))
    manifest = store(model, tmp_path)
    ids, mask = inputs()
    expected = scores(model, {"input_ids": ids}, mask)
    assert torch.equal(run(stages(tmp_path, manifest, UNEVEN), ids, mask), expected)


@pytest.mark.parametrize("family", ["llama", "qwen3", "bert"])
def test_every_stored_tensor_is_held_by_one_stage(family: str, tmp_path: Path) -> None:
    """But for an embedding that is the head too, which the first and the last stage hold."""
    model = build(config_of(family))
    manifest = store(model, tmp_path)
    held = [stored_tensors(tmp_path, manifest, UNEVEN.shard(rank)) for rank in range(3)]
    stored = {name for name in load_file(tmp_path / "model.safetensors") if not name.startswith("pooler.")}
    twice = {"model.embed_tokens.weight"} if model.config.tie_word_embeddings and family != "bert" else set()
    assert set().union(*held) == stored
    assert sum(map(len, held)) == len(stored) + len(twice)


@pytest.mark.parametrize("family", ["qwen3", "bert"])
def test_no_weight_is_copied(family: str, tmp_path: Path) -> None:
    manifest = store(build(config_of(family)), tmp_path)
    for stage in stages(tmp_path, manifest, UNEVEN):
        assert len(list(stage.model.parameters())) > 5
        assert private_weight_bytes(stage.model, tmp_path) == 0


def test_files_with_tensors_of_other_stages_are_not_needed(tmp_path: Path) -> None:
    model = build(config_of("llama"))
    manifest = store(model, tmp_path, max_shard_size="20KB")
    ids, mask = inputs()
    expected = run(stages(tmp_path, manifest, HALVES), ids, mask)
    assert torch.equal(expected, scores(model, {"input_ids": ids}, mask))

    holders = json.loads((tmp_path / "model.safetensors.index.json").read_text())["weight_map"]
    own = {holders[name] for name in stored_tensors(tmp_path, manifest, HALVES.shard(0))}
    others = set(holders.values()) - own
    assert others
    for name in others:
        (tmp_path / name).unlink()
    load_stage(tmp_path, manifest, HALVES.shard(0), "cpu", None, NoProgress())
    with pytest.raises(FileNotFoundError):
        load_stage(tmp_path, manifest, HALVES.shard(1), "cpu", None, NoProgress())


def test_progress_counts_the_bytes_of_the_stage(tmp_path: Path) -> None:
    class Seen(NoProgress):
        def __init__(self) -> None:
            self.calls: list[tuple[int, int]] = []

        def advance(self, done_bytes: int, total_bytes: int) -> None:
            self.calls.append((done_bytes, total_bytes))

    manifest = store(build(config_of("llama")), tmp_path)
    seen = Seen()
    stage = load_stage(tmp_path, manifest, HALVES.shard(0), "cpu", None, seen)
    held = sum(each.nbytes for each in stage.model.parameters())
    assert seen.calls[-1] == (held, held)
    assert [done for done, _ in seen.calls] == sorted(done for done, _ in seen.calls)


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    manifest = store(build(config_of("llama")), tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.2.mlp.up_proj.weight"]
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(StoreError, match=r"tiny@1 holds the tensor model\.layers\.2\.mlp\.up_proj\.weight"):
        load_stage(tmp_path, manifest, HALVES.shard(0), "cpu", None, NoProgress())
    load_stage(tmp_path, manifest, HALVES.shard(1), "cpu", None, NoProgress())


def test_a_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    manifest = store(build(config_of("llama")), tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    tensors["model.layers.3.mlp.up_proj.weight"] = torch.zeros(5, 48)
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(
        StoreError, match=r"3\.mlp\.up_proj\.weight of tiny@1 has shape \[5, 48\].* says \[64, 48\]"
    ):
        load_stage(tmp_path, manifest, HALVES.shard(0), "cpu", None, NoProgress())


def test_more_layers_than_there_are_is_refused(tmp_path: Path) -> None:
    manifest = store(build(config_of("llama")), tmp_path)
    with pytest.raises(ConfigError, match="layers 2-5 is not in a model of 4 layers"):
        load_stage(tmp_path, manifest, GroupLayout(Degree(1, 2), (2, 6)).shard(0), "cpu", None, NoProgress())


@pytest.mark.parametrize(
    ("family", "reason"),
    [("granite", "changes hidden states outside of its layers"), ("modernbert", "layers are not one stack")],
)
def test_families_that_make_no_stages_are_refused(family: str, reason: str, tmp_path: Path) -> None:
    manifest = store(build(config_of(family)), tmp_path)
    with pytest.raises(ConfigError, match=reason):
        load_stage(tmp_path, manifest, HALVES.shard(0), "cpu", None, NoProgress())


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield DeviceMesh("cpu", [0])
    dist.destroy_process_group()


def test_a_family_without_a_plan_is_not_cut_into_slices(mesh: DeviceMesh, tmp_path: Path) -> None:
    manifest = store(build(config_of("bert")), tmp_path)
    whole = GroupLayout(Degree(1, 1), (NUM_LAYERS,)).shard(0)
    with pytest.raises(ConfigError, match=r"no plan by which to cut the matrices of tiny@1 \(bert\)"):
        load_stage(tmp_path, manifest, whole, "cpu", mesh, NoProgress())
