"""How an operator writes a memory budget: ``auto``, ``6GiB`` or ``40%``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, ByteSize, Field, TypeAdapter

from models.hardware import Device
from models.manifest import Frozen

_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_SIZE = TypeAdapter(ByteSize)


class Budget(Frozen):
    """At most one of both; neither is ``auto``: the budget is what the limits need.

    ``size_bytes`` per device that the replica uses, ``percent`` of a device's usable bytes.
    """

    size_bytes: int | None = Field(default=None, gt=0)
    percent: float | None = Field(default=None, gt=0, le=100)

    @property
    def is_auto(self) -> bool:
        return self.size_bytes is None and self.percent is None

    def on(self, device: Device) -> int | None:
        """The budget in bytes on ``device``; None for ``auto``."""
        if self.percent is not None:
            return int(device.usable_bytes * self.percent / 100)
        return self.size_bytes

    def __str__(self) -> str:
        if self.percent is not None:
            return f"{self.percent:g}%"
        return "auto" if self.size_bytes is None else str(self.size_bytes)


AUTO = Budget()


def parse_budget(value: object) -> object:
    """``auto``, a size as pydantic's ByteSize reads it, or a percentage; ValueError for anything else."""
    if isinstance(value, Budget | dict):
        return value
    if value == "auto":
        return AUTO
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value.strip())):
        return Budget(percent=float(match[1]))
    try:
        return Budget(size_bytes=int(_SIZE.validate_python(value)))
    except ValueError as error:
        raise ValueError(f"{value!r} is no memory budget: write auto, 6GiB or 40%") from error


MemoryBudget = Annotated[Budget, BeforeValidator(parse_budget)]
