"""Manifests as the rows of tables, for people."""

from __future__ import annotations

import json

from models.manifest import Manifest, TensorFacts
from models.memory.plan import format_bytes

VERSION_COLUMNS = ("version", "task", "format", "dtype", "parameters", "size", "source", "licence")
FILE_COLUMNS = ("file", "size", "sha256")


def version_row(manifest: Manifest) -> tuple[str, ...]:
    """One version in VERSION_COLUMNS."""
    return (
        str(manifest.id),
        manifest.task,
        manifest.format,
        manifest.dtype,
        f"{manifest.num_parameters:,}",
        format_bytes(manifest.size_bytes),
        manifest.source,
        manifest.licence or "-",
    )


def file_rows(manifest: Manifest) -> list[tuple[str, ...]]:
    """The files in FILE_COLUMNS."""
    return [(entry.path, format_bytes(entry.size_bytes), entry.sha256) for entry in manifest.files]


def fact_rows(manifest: Manifest) -> list[tuple[str, str]]:
    """All that is known but for the files: name and value, one row for each tensor."""
    elsewhere = {"schema_version", "files", "inputs", "outputs"}
    rows = _flat(manifest.model_dump(mode="json", exclude=elsewhere, exclude_none=True))
    rows += [("input", _tensor(tensor)) for tensor in manifest.inputs]
    return rows + [("output", _tensor(tensor)) for tensor in manifest.outputs]


def _flat(facts: dict[str, object], prefix: str = "") -> list[tuple[str, str]]:
    """``{"a": {"b": 1}}`` as ``("a.b", "1")``."""
    rows: list[tuple[str, str]] = []
    for name, value in facts.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", _text(value)))
    return rows


def _text(value: object) -> str:
    """A value of JSON as it is written there, but without quotation marks and brackets."""
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return value if isinstance(value, str) else json.dumps(value)


def _tensor(tensor: TensorFacts) -> str:
    return f"{tensor.name} {tensor.datatype} {list(tensor.shape)}"
