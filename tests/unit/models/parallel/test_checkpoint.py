"""What a rank reads of a stored version, and what of it is resident."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.errors import StoreError
from models.manifest import Manifest
from models.parallel.checkpoint import Checkpoint
from models.process_memory import read_process_memory
from tests.unit.models.parallel.families import build, config_of, store

MIB = 1024**2
ROWS = 3 * 1024


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    """Only its name counts here."""
    return store(build(config_of("llama")), tmp_path / "model")


@pytest.fixture
def stored(tmp_path: Path) -> dict[str, torch.Tensor]:
    """Three matrices of 12 MiB, one after the other, a number, and one without any."""
    tensors = {name: torch.randn(ROWS, 1024) for name in ("a", "b", "c")}
    tensors |= {"d": torch.tensor(7.5), "none": torch.empty(0, 4)}
    save_file(tensors, tmp_path / "model.safetensors")
    return tensors


def resident_bytes(folder: Path) -> int:
    return read_process_memory(folder).mapped_bytes


def test_rows_of_a_tensor_are_a_view_that_alone_is_resident(
    tmp_path: Path, manifest: Manifest, stored: dict[str, torch.Tensor]
) -> None:
    checkpoint = Checkpoint(tmp_path, manifest)
    rows = slice(ROWS // 3, 2 * ROWS // 3)
    seen = [checkpoint.read(name, (ROWS, 1024), rows) for name in ("a", "b")]
    for found, name in zip(seen, ("a", "b"), strict=True):
        assert torch.equal(found, stored[name][rows])
    own = sum(found.nbytes for found in seen)
    assert own <= resident_bytes(tmp_path) <= own + MIB // 4


def test_a_whole_tensor_is_read_and_a_number_and_nothing_too(
    tmp_path: Path, manifest: Manifest, stored: dict[str, torch.Tensor]
) -> None:
    checkpoint = Checkpoint(tmp_path, manifest)
    assert torch.equal(checkpoint.read("c", (ROWS, 1024), slice(None)), stored["c"])
    assert torch.equal(checkpoint.read("d", (), slice(None)), stored["d"])
    assert torch.equal(checkpoint.read("none", (0, 4), slice(None)), stored["none"])
    assert checkpoint.copy("none", (0, 4), (slice(None), slice(2))).shape == (0, 2)
    assert checkpoint.read("a", (ROWS, 1024), slice(7, 7)).shape == (0, 1024)


def test_what_is_copied_is_not_resident_in_the_file(
    tmp_path: Path, manifest: Manifest, stored: dict[str, torch.Tensor]
) -> None:
    checkpoint = Checkpoint(tmp_path, manifest)
    beside = checkpoint.read("a", (ROWS, 1024), slice(None))
    place = (slice(None), slice(256, 512))
    copied = checkpoint.copy("b", (ROWS, 1024), place)
    assert torch.equal(copied, stored["b"][place])
    assert copied.is_contiguous()
    assert torch.equal(beside, stored["a"])
    assert beside.nbytes <= resident_bytes(tmp_path) <= beside.nbytes + MIB // 4


def test_what_is_not_there_or_has_another_shape_is_refused(
    tmp_path: Path, manifest: Manifest, stored: dict[str, torch.Tensor]
) -> None:
    checkpoint = Checkpoint(tmp_path, manifest)
    with pytest.raises(StoreError, match="holds the tensor e"):
        checkpoint.read("e", (ROWS, 1024), slice(None))
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"e": "model.safetensors"}}')
    with pytest.raises(StoreError, match="holds the tensor e"):
        Checkpoint(tmp_path, manifest).read("e", (ROWS, 1024), slice(None))
    with pytest.raises(StoreError, match=rf"a of tiny@1 has shape \[{ROWS}, 1024\], config.json says \[8, 8\]"):
        checkpoint.copy("a", (8, 8), (slice(None), slice(None)))
