"""The sampling fields that every generation protocol has, under the same names."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from deployments.api.http.parsing import WireModel
from models.types import SamplingParams

MAX_STOP_STRINGS = 16


def _stop_strings(value: object) -> tuple[str, ...]:
    strings = [value] if isinstance(value, str) else value
    if strings is None:
        return ()
    if not isinstance(strings, list) or not all(isinstance(text, str) and text for text in strings):
        raise PydanticCustomError("stop", "Input should be a string or a list of strings, none of them empty")
    if len(strings) > MAX_STOP_STRINGS:
        raise PydanticCustomError("stop", "Input should have at most {limit} strings", {"limit": MAX_STOP_STRINGS})
    return tuple(strings)


NonEmpty = Annotated[str, Field(min_length=1)]
StopStrings = Annotated[
    tuple[str, ...],
    BeforeValidator(
        _stop_strings,
        json_schema_input_type=NonEmpty | Annotated[list[NonEmpty], Field(max_length=MAX_STOP_STRINGS)] | None,
    ),
]


class SamplingFields(WireModel):
    """How to choose tokens; absent and null fields take the defaults of SamplingParams.

    ``top_k`` 0 and -1 turn it off, as in vLLM.
    """

    max_tokens: int | None = Field(default=None, gt=0)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1)
    stop: StopStrings = ()
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)

    def sampling(self, max_tokens: int | None) -> SamplingParams:
        """The engine's parameters, with the protocol's own limit of tokens."""
        chosen = sampling(max_tokens, self.temperature, self.top_p, self.top_k, self.stop)
        return replace(chosen, seed=self.seed)


def sampling(
    max_tokens: int | None,
    temperature: float | None,
    top_p: float | None,
    top_k: int | None = None,
    stop: tuple[str, ...] = (),
) -> SamplingParams:
    """The engine's parameters, with its defaults for what is None."""
    defaults = SamplingParams()
    return SamplingParams(
        max_tokens=max_tokens,
        temperature=defaults.temperature if temperature is None else temperature,
        top_p=defaults.top_p if top_p is None else top_p,
        top_k=max(0, top_k or 0),
        stop=stop,
    )
