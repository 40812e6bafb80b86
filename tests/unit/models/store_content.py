"""Manifests and contents for tests of the stores, which do not care what a model is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from models.local_store import Fill, Staging
from models.manifest import Manifest
from models.types import Task, VersionId, WeightFormat


def manifest_of(version: VersionId, source: str = "file:/m") -> Manifest:
    return Manifest(
        name=version.name,
        version=version.version,
        source=source,
        format=WeightFormat.ONNX,
        task=Task.INFER,
        files=(),
        dtype="float32",
        num_parameters=1,
        weight_bytes=4,
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )


def fill_with(version: VersionId, files: dict[str, bytes]) -> Fill:
    def fill(staging: Staging) -> Manifest:
        for name, content in files.items():
            path = staging.files / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return manifest_of(version)

    return fill


def contents(folder: Path) -> dict[str, bytes]:
    """All files below the folder but the manifest."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
