"""The fields that chat and completions share: which model, how to stream, and what no engine can do."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import model_validator

from deployments.api.http.parsing import WireModel, only
from deployments.api.http.sampling import SamplingFields
from deployments.api.openai.structured import StructuredOutputs
from models.errors import InvalidRequestError
from models.types import Grammar


class StreamOptions(WireModel):
    """``include_usage`` asks for one more chunk with the token counts."""

    include_usage: bool = False
    include_obfuscation: Annotated[None, only(False)] = None


class GenerationFields(SamplingFields):
    """``user`` and ``metadata`` are taken and change nothing; the last group is refused unless neutral."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    structured_outputs: StructuredOutputs | None = None

    user: str | None = None
    metadata: dict[str, str] | None = None

    n: Annotated[None, only(1)] = None
    presence_penalty: Annotated[None, only(0)] = None
    frequency_penalty: Annotated[None, only(0)] = None
    logit_bias: Annotated[None, only({})] = None

    @model_validator(mode="after")
    def _stream_options_need_a_stream(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise InvalidRequestError("stream_options is only allowed with stream=true", param="stream_options")
        return self

    @property
    def include_usage(self) -> bool:
        """Whether a stream ends with its token counts."""
        return self.stream_options is not None and self.stream_options.include_usage

    def grammar(self) -> Grammar | None:
        """What the text has to match, by ``structured_outputs``."""
        return None if self.structured_outputs is None else self.structured_outputs.grammar()
