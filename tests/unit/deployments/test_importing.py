from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from deployments.args import ModelArgs
from deployments.importing import ensure_imported
from models.errors import VersionNotFoundError
from models.types import Task, VersionId
from tests.unit.models.tiny_models import write_encoder


def test_a_version_is_imported_once_and_then_found(tmp_path: Path) -> None:
    source = write_encoder(tmp_path / "encoder")
    args = ModelArgs(model="mini", source=f"file:{source}", store=str(tmp_path / "store"))
    imported = ensure_imported(args)
    shutil.rmtree(source)
    assert ensure_imported(args) == imported
    assert (imported.manifest.id, imported.manifest.task) == (VersionId("mini", "1"), Task.EMBED)
    assert (imported.folder / "model.safetensors").is_file()


def test_without_a_source_the_version_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(VersionNotFoundError, match="mini@1"):
        ensure_imported(ModelArgs(model="mini", store=str(tmp_path / "store")))
