"""What models may call, and the calls that they make."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ToolFunction:
    """A function that a model may call. ``parameters`` is the JSON schema of its arguments, of the type object."""

    name: str
    parameters: str
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    """What a model may call in its answer: it must when ``required``, and only once unless ``parallel``."""

    functions: tuple[ToolFunction, ...]
    required: bool = False
    parallel: bool = True


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a model made. ``arguments`` is a JSON object; ``id`` is what the result refers to."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolCallPiece:
    """The next part of the arguments of call ``index`` (from 0); the first piece of each call has its name."""

    index: int
    arguments: str
    name: str | None = None
