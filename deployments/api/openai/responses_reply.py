"""A response object, in every state that it goes through."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, replace
from typing import Literal

from typing_extensions import TypedDict

from deployments.api.http.errors import Problem
from deployments.api.http.generation import usage_of
from deployments.api.openai.responses_schema import ResponseRequest
from models.types import FinishReason, GenerationChunk, VersionId

Status = Literal["in_progress", "completed", "incomplete", "failed"]
ItemStatus = Literal["in_progress", "completed", "incomplete"]


class OutputText(TypedDict):
    """What the model wrote."""

    type: Literal["output_text"]
    text: str
    annotations: list[str]
    logprobs: list[str]


class OutputMessage(TypedDict):
    """The assistant's turn; can be sent back as an item of the next ``input``."""

    type: Literal["message"]
    id: str
    role: Literal["assistant"]
    status: ItemStatus
    content: list[OutputText]


class InputTokens(TypedDict):
    """Of the prompt. The engine does not say how many it had already: none are told as cached."""

    cached_tokens: int
    cache_write_tokens: int


class OutputTokens(TypedDict):
    """Of the text."""

    reasoning_tokens: int


class ResponseUsage(TypedDict):
    """Token counts."""

    input_tokens: int
    input_tokens_details: InputTokens
    output_tokens: int
    output_tokens_details: OutputTokens
    total_tokens: int


class FailureDetail(TypedDict):
    """Why a response failed."""

    code: Literal["server_error"]
    message: str


class IncompleteDetails(TypedDict):
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens"]


class ResponseReply(TypedDict):
    """A response; ``instructions`` to ``user`` are those of the request."""

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: Status
    model: str
    output: list[OutputMessage]
    usage: ResponseUsage | None
    error: FailureDetail | None
    incomplete_details: IncompleteDetails | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, str]
    parallel_tool_calls: bool
    temperature: float | None
    top_p: float | None
    user: str | None
    previous_response_id: None
    store: Literal[False]
    tool_choice: Literal["none"]
    tools: list[str]
    truncation: Literal["disabled"]


@dataclass(frozen=True, slots=True)
class Draft:
    """What all states of one response have in common; ``model`` is the version as soon as it is known."""

    request: ResponseRequest
    model: str
    id: str
    item_id: str
    created_at: int

    @classmethod
    def new(cls, request: ResponseRequest) -> Draft:
        """A response that begins now."""
        ids = f"resp_{uuid.uuid4().hex}", f"msg_{uuid.uuid4().hex}"
        return cls(request, request.model, *ids, created_at=int(time.time()))

    def of(self, version: VersionId) -> Draft:
        """The same, by the version that answers."""
        return replace(self, model=str(version))

    def begun(self) -> ResponseReply:
        """Nothing has been written."""
        return self._reply("in_progress", [])

    def ended(self, text: str, last: GenerationChunk) -> ResponseReply:
        """Everything has been written: complete, or cut off by a token limit."""
        status = ended_status(last)
        reply = self._reply(status, [self.message(status, [output_text(text)])])
        reply["completed_at"] = int(time.time()) if status == "completed" else None
        reply["usage"] = _usage(last)
        if status == "incomplete":
            reply["incomplete_details"] = IncompleteDetails(reason="max_output_tokens")
        return reply

    def failed(self, text: str, problem: Problem) -> ResponseReply:
        """What had been written when it failed."""
        reply = self._reply("failed", [self.message("incomplete", [output_text(text)])])
        reply["error"] = FailureDetail(code="server_error", message=problem.message)
        return reply

    def message(self, status: ItemStatus, content: list[OutputText]) -> OutputMessage:
        """The only item of the output."""
        return OutputMessage(type="message", id=self.item_id, role="assistant", status=status, content=content)

    def _reply(self, status: Status, output: list[OutputMessage]) -> ResponseReply:
        request = self.request
        return ResponseReply(
            id=self.id,
            object="response",
            created_at=self.created_at,
            completed_at=None,
            status=status,
            model=self.model,
            output=output,
            usage=None,
            error=None,
            incomplete_details=None,
            instructions=request.instructions,
            max_output_tokens=request.max_output_tokens,
            metadata=request.metadata or {},
            parallel_tool_calls=request.parallel_tool_calls is not False,
            temperature=request.temperature,
            top_p=request.top_p,
            user=request.user,
            previous_response_id=None,
            store=False,
            tool_choice="none",
            tools=[],
            truncation="disabled",
        )


def ended_status(last: GenerationChunk) -> Literal["completed", "incomplete"]:
    """How the last chunk leaves a response."""
    return "incomplete" if last.finish_reason is FinishReason.LENGTH else "completed"


def output_text(text: str) -> OutputText:
    """The only part of a message."""
    return OutputText(type="output_text", text=text, annotations=[], logprobs=[])


def _usage(last: GenerationChunk) -> ResponseUsage:
    counts = usage_of(last)
    return ResponseUsage(
        input_tokens=counts.prompt_tokens,
        input_tokens_details=InputTokens(cached_tokens=0, cache_write_tokens=0),
        output_tokens=counts.completion_tokens,
        output_tokens_details=OutputTokens(reasoning_tokens=0),
        total_tokens=counts.total_tokens,
    )
