"""Read a JSON file into the pydantic model of the fields that matter."""

from __future__ import annotations

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
