"""What a rank's model holds once it is loaded is what its plan says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import PretrainedConfig

from models.engines.mapped_weights import FileMappings
from models.importing.importer import import_model
from models.local_store import LocalStore, StoredModel
from models.memory.group_plan import RankPlan
from models.memory.overheads import MEASURED
from models.memory.plan import ANY_CPU, plan_replica
from models.memory.sizing import Replica
from models.parallel.layout import Degree
from models.parallel.stage import load_stage
from models.progress import NoProgress
from models.spec import EngineName, Limits, ModelSpec
from models.types import Task
from tests.unit.models.checkpoints import bert, llama, qwen3_moe, write_checkpoint
from tests.unit.models.tiny_models import write_sentence_transformer, write_tokenizer

CONFIGS = {"tied": llama(), "untied": llama(tied=False), "mixture": qwen3_moe(), "encoder": bert()}


def import_checkpoint(folder: Path, config: PretrainedConfig) -> StoredModel:
    write_checkpoint(folder / "source", config)
    write_tokenizer(folder / "source")
    if config.model_type == "bert":
        write_sentence_transformer(folder / "source")
    spec = ModelSpec(model="m", source=f"file:{folder / 'source'}")
    return import_model(spec, LocalStore(folder / "store"), NoProgress())


def ranks_of(stored: StoredModel, degree: Degree) -> tuple[RankPlan, ...]:
    engine: EngineName = "transformers" if stored.manifest.task is Task.GENERATE else "embedding"
    replica = Replica(stored.manifest, engine, ANY_CPU, MEASURED)
    group = plan_replica(replica, Limits(max_model_len=16), None, degree).group
    assert group is not None
    return group.ranks


def loaded_bytes(stored: StoredModel, rank: RankPlan, mesh: DeviceMesh | None) -> tuple[int, int]:
    """Of its parameters: those in the mapped file, and the others. Tied ones once."""
    stage = load_stage(stored.folder, stored.manifest, rank.shard, "cpu", mesh, NoProgress())
    mappings = FileMappings.below(stored.folder)
    tensors = (each.to_local() if isinstance(each, DTensor) else each for each in stage.model.parameters())
    lying = {each.data_ptr(): (each.nbytes, mappings.find(each.data_ptr()) is not None) for each in tensors}
    return tuple(sum(size for size, mapped in lying.values() if mapped is kind) for kind in (True, False))  # type: ignore[return-value]


def planned_bytes(rank: RankPlan) -> tuple[int, int]:
    sizes = {term.name: term.bytes for term in rank.terms}
    return sizes["weights"], sizes.get("copied_weights", 0)


@pytest.mark.parametrize("kind", CONFIGS)
def test_of_stages(kind: str, tmp_path: Path) -> None:
    stored = import_checkpoint(tmp_path, CONFIGS[kind])
    for rank in ranks_of(stored, Degree(1, 2)):
        assert loaded_bytes(stored, rank, None) == planned_bytes(rank)


@pytest.fixture
def mesh() -> Iterator[DeviceMesh]:
    """The first of two ranks, which are not there: nothing is sent."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        yield DeviceMesh("cpu", torch.arange(2))
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("kind", ["tied", "untied"])
@pytest.mark.parametrize("pipeline", [1, 2])
def test_of_slices(kind: str, pipeline: int, mesh: DeviceMesh, tmp_path: Path) -> None:
    stored = import_checkpoint(tmp_path, CONFIGS[kind])
    for rank in ranks_of(stored, Degree(2, pipeline))[::2]:
        assert loaded_bytes(stored, rank, mesh) == planned_bytes(rank)
