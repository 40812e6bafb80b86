"""How usage is added up."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class UsageColumn(StrEnum):
    """By what usage can be told apart."""

    DAY = "day"
    KEY = "key"
    TENANT = "tenant"
    MODEL = "model"
    VERSION = "version"
    OUTCOME = "outcome"


@dataclass(frozen=True, slots=True)
class UsageTotal:
    """Of all requests that have ``group`` in common: one text for each column asked for."""

    group: tuple[str, ...]
    requests: int
    input_tokens: int
    output_tokens: int
    cost_nano: int
