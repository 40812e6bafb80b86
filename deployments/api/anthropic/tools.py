"""What a request for a message lets the model call."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import model_validator

from deployments.api.anthropic.blocks import CacheControl, ToolName
from deployments.api.http.parsing import WireModel, only
from deployments.api.http.tools import Parameters, choose_tools
from models.errors import InvalidRequestError
from models.tools import ToolFunction, Tools

_WANTED: Mapping[str, Literal["none", "may", "must"]] = {
    "none": "none",
    "auto": "may",
    "any": "must",
    "tool": "must",
}


class ClientTool(WireModel):
    """One that the caller runs. Its schema holds whether ``strict`` or not; its input is streamed as it comes."""

    type: Literal["custom"] | None = None
    name: ToolName
    description: str | None = None
    input_schema: Parameters
    strict: bool | None = None
    eager_input_streaming: bool | None = None
    cache_control: CacheControl | None = None
    allowed_callers: Annotated[None, only([], ["direct"])] = None
    defer_loading: Annotated[None, only(False)] = None
    input_examples: Annotated[None, only([])] = None

    def function(self) -> ToolFunction:
        """In our own words."""
        return ToolFunction(self.name, json.dumps(self.input_schema), self.description)


class ToolChoice(WireModel):
    """``name`` is there with the type ``tool``."""

    type: Literal["auto", "any", "tool", "none"]
    name: ToolName | None = None
    disable_parallel_tool_use: bool | None = None

    @model_validator(mode="after")
    def _names_a_tool(self) -> Self:
        if (self.name is None) == (self.type == "tool"):
            raise InvalidRequestError(
                "tool_choice.name belongs to the type tool, which has to have it", param="tool_choice.name"
            )
        return self


def tools_of(given: Sequence[ClientTool], choice: ToolChoice | None) -> Tools | None:
    """What the model may call; None when that is nothing."""
    choice = choice or ToolChoice(type="auto")
    return choose_tools(
        [tool.function() for tool in given],
        _WANTED[choice.type],
        only=choice.name,
        parallel=not choice.disable_parallel_tool_use,
    )
