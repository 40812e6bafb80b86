"""Read a JSON file into the pydantic model of the fields that matter; correct the one that an import changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from models.errors import SourceError

Model = TypeVar("Model", bound=BaseModel)


def read_json(path: Path, model: type[Model]) -> Model:
    """The file's content; SourceError names the field that is wrong."""
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise SourceError(
            f"{path.name} of the model cannot be read: {error}", remedy="get the file from its origin again"
        ) from error


def record_dtype(path: Path, dtype: str) -> None:
    """Let ``config.json``, and the configurations nested in it, say that the weights are of ``dtype``."""
    content: object = json.loads(path.read_bytes())
    path.write_text(json.dumps(_with_dtype(content, dtype), indent=2), encoding="utf-8")


def _with_dtype(content: object, dtype: str) -> object:
    """transformers writes ``dtype`` since its release 5 and ``torch_dtype`` before; null where it follows."""
    if not isinstance(content, dict):
        return content
    kept = {key: _with_dtype(value, dtype) for key, value in content.items() if key != "torch_dtype"}
    return {**kept, "dtype": dtype} if {"dtype", "torch_dtype"} & content.keys() else kept
