from __future__ import annotations

from math import prod
from pathlib import Path

from benchmarks.llama_405b import main, shapes
from models.importing.preview import preview
from models.memory.account import total_bytes
from models.progress import NoProgress
from models.spec import ModelSpec


def test_it_has_the_parameters_that_the_model_was_published_with() -> None:
    assert sum(map(prod, shapes().values())) == 405_853_388_800


def test_next_to_nothing_is_written_and_all_of_it_is_planned(tmp_path: Path) -> None:
    main(tmp_path)
    weights = (tmp_path / "model" / "model.safetensors").stat()
    assert weights.st_size > 800e9
    assert weights.st_blocks * 512 < 1_000_000
    manifest = preview(ModelSpec(model="m", source=f"file:{tmp_path / 'model'}"), NoProgress())
    assert manifest.weight_account is not None
    assert total_bytes(manifest.weight_account) == manifest.weight_bytes == 2 * 405_853_388_800
