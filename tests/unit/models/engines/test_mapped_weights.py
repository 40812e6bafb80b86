from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from models.engines.mapped_weights import FileMappings, FilePosition, private_weight_bytes
from models.engines.pretrained import load_pretrained
from models.manifest import Manifest
from models.types import Task, WeightFormat
from tests.unit.models.checkpoints import copied_bytes, headers, llama, load, mixtral, write_checkpoint

MAPS = b"""\
7f0000002000-7f0000004000 r--p 00000000 08:01 42 /store/m/1/model.safetensors
7f0000000000-7f0000001000 rw-p 00000000 00:00 0
7f0000001000-7f0000002000 r--p 00000000 08:01 43 /store/m/10/model.safetensors
7f0000008000-7f0000009000 r--p 00002000 08:01 42 /store/m/1/with space.safetensors (deleted)
7f000000a000-7f000000b000 rw-p 00000000 00:00 0 [heap]
"""


def manifest_of(folder: Path, *, shared_weight_bytes: int | None = None) -> Manifest:
    return Manifest(
        name="tiny",
        version="1",
        source="file:/tiny",
        format=WeightFormat.SAFETENSORS,
        task=Task.GENERATE,
        files=(),
        dtype="float32",
        num_parameters=1,
        weight_bytes=sum(tensor.num_bytes for tensor in headers(folder)),
        shared_weight_bytes=shared_weight_bytes,
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("address", "found"),
    [
        (0x7F0000001FFF, None),
        (0x7F0000002000, FilePosition(Path("/store/m/1/model.safetensors"), 0)),
        (0x7F0000003FFF, FilePosition(Path("/store/m/1/model.safetensors"), 0x1FFF)),
        (0x7F0000004000, None),
        (0x7F0000008001, FilePosition(Path("/store/m/1/with space.safetensors (deleted)"), 0x2001)),
        (0x7F000000A000, None),
        (0, None),
    ],
)
def test_what_lies_at_an_address(tmp_path: Path, address: int, found: FilePosition | None) -> None:
    (tmp_path / "maps").write_bytes(MAPS)
    assert FileMappings.below(Path("/store/m/1"), tmp_path / "maps").find(address) == found


def test_a_cast_copies_every_weight(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, llama())
    assert copied_bytes(load(folder, "float32"), folder) == 0
    assert copied_bytes(load(folder, "bfloat16"), folder) == sum(each.num_bytes for each in headers(folder)) // 2


def test_tied_weights_count_once_and_some_not_at_all(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, llama())
    model = AutoModelForCausalLM.from_config(llama())  # type: ignore[no-untyped-call]
    num_bytes = sum(parameter.nbytes for parameter in model.parameters())
    assert private_weight_bytes(model, folder) == num_bytes
    norm = model.model.norm.weight
    assert private_weight_bytes(model, folder, but=["model.norm.weight"]) == num_bytes - norm.nbytes


def test_a_weight_written_at_an_odd_address_is_still_mapped(tmp_path: Path) -> None:
    """Why an import does not rewrite files whose tensors are not aligned: nothing is lost by that on a CPU."""
    folder = write_checkpoint(tmp_path, llama())
    tensors = load_file(folder / "model.safetensors")
    aligned = load(folder, "float32")(input_ids=torch.tensor([[1, 2]])).logits
    content = (folder / "model.safetensors").read_bytes()
    length = int.from_bytes(content[:8], "little")
    odd = (length + 3).to_bytes(8, "little") + content[8 : 8 + length] + b"   " + content[8 + length :]
    (folder / "model.safetensors").write_bytes(odd)
    model = load(folder, "float32")
    assert model.get_parameter("model.norm.weight").data_ptr() % 4 == 3
    assert copied_bytes(model, folder) == 0
    assert torch.equal(model(input_ids=torch.tensor([[1, 2]])).logits, aligned)
    assert load_file(folder / "model.safetensors").keys() == tensors.keys()


def test_loading_warns_of_copies_that_no_plan_has(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_checkpoint(tmp_path, mixtral())
    manifest = manifest_of(folder)
    with caplog.at_level(logging.WARNING, logger="models.engines.pretrained"):
        load_pretrained(AutoModelForCausalLM, folder, manifest, "cpu")
    (record,) = [each for each in caplog.records if each.name == "models.engines.pretrained"]
    assert record.getMessage().startswith("tiny@1: 0.1 MB of its weights are a copy of this process's own")


def test_loading_is_silent_where_all_is_mapped_or_known(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mapped = write_checkpoint(tmp_path / "mapped", llama())
    known = write_checkpoint(tmp_path / "known", mixtral())
    with caplog.at_level(logging.WARNING, logger="models.engines.pretrained"):
        load_pretrained(AutoModelForCausalLM, mapped, manifest_of(mapped), "cpu")
        load_pretrained(AutoModelForCausalLM, known, manifest_of(known, shared_weight_bytes=0), "cpu")
    assert [each for each in caplog.records if each.name == "models.engines.pretrained"] == []


def test_a_head_that_the_file_has_no_weights_for_does_not_count(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, llama(tied=False))
    tensors = load_file(folder / "model.safetensors")
    unused = tensors.pop("lm_head.weight")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    model = load(folder, "float32")
    assert private_weight_bytes(model, folder) == unused.nbytes
    assert private_weight_bytes(model, folder, but={"lm_head.weight"}) == 0
