"""Token counts of a comparison."""

from __future__ import annotations

from typing_extensions import TypedDict

from models.types import Usage


class ComparisonUsage(TypedDict):
    """What all the texts have together, each as often as it was given."""

    prompt_tokens: int
    total_tokens: int


def usage_reply(usage: Usage) -> ComparisonUsage:
    """As the wire has it."""
    return ComparisonUsage(prompt_tokens=usage.prompt_tokens, total_tokens=usage.total_tokens)
