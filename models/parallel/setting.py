"""How an operator asks for a model to be divided: ``off``, ``auto``, or a degree. Torch-free."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from models.manifest import Frozen
from models.parallel.layout import Degree


class GivenDegree(Frozen):
    """Tensor and pipeline parallel size, as written."""

    tensor: int = Field(default=1, ge=1)
    pipeline: int = Field(default=1, ge=1)

    @property
    def degree(self) -> Degree:
        return Degree(self.tensor, self.pipeline)


def _off(value: object) -> object:
    """YAML 1.1, which Ray reads, takes an unquoted ``off`` for false."""
    return "off" if value is False else value


Parallel = Annotated[Literal["off", "auto"] | GivenDegree, BeforeValidator(_off)]
