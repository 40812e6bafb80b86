"""A data plane that computes small real things in place of models, and counts what is running."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator

import numpy as np

from deployments.dataplane.call import Call
from deployments.dataplane.operations import DataPlane
from deployments.dataplane.streams import GenerationStream
from deployments.routing.states import ModelState
from models.errors import (
    ContextLengthError,
    DeadlineExceededError,
    EngineError,
    InvalidRequestError,
    ModelNotFoundError,
    ModelUnavailableError,
    OverloadedError,
    WrongTaskError,
)
from models.tools import ToolCallPiece, Tools
from models.types import (
    Conversation,
    EmbeddingRequest,
    EmbeddingResult,
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    InferRequest,
    ModelCard,
    Prompt,
    Task,
    Tensor,
    TensorSpec,
    Usage,
    VersionId,
)

MAX_MODEL_LEN = 64
EMBEDDING_DIM = 4
CARDS = [
    ModelCard(
        VersionId("adder", "1"),
        Task.INFER,
        "onnx",
        1_700_000_000,
        inputs=(TensorSpec("a", "FP32", (-1, 2)), TensorSpec("b", "FP32", (-1, 2))),
        outputs=(TensorSpec("sum", "FP32", (-1, 2)),),
    ),
    ModelCard(VersionId("echo", "1"), Task.GENERATE, "transformers", 1_700_000_001, max_model_len=MAX_MODEL_LEN),
    ModelCard(VersionId("echo", "2"), Task.GENERATE, "transformers", 1_700_000_002, max_model_len=MAX_MODEL_LEN),
    ModelCard(VersionId("mini", "1"), Task.EMBED, "embedding", 1_700_000_003, embedding_dim=EMBEDDING_DIM),
]
BROKEN = ModelState(VersionId("broken", "1"), ready=False, status="failed", reason="its weights are damaged")


class FakeDataPlane(DataPlane):
    """``echo`` repeats its prompt word by word; ``mini`` counts letters ("nan" has no number);
    ``adder`` adds; ``broken`` is down.

    Words in a prompt make ``echo`` behave: "break" fails there, "forever" never ends, "silent" never begins,
    "overload" and "crash" fail before the first word; a word that is a stop string ends the text.
    ``num_active`` counts streams from the moment they are handed out, so that one that is never read shows up as
    one that was never closed.
    """

    def __init__(self, with_broken: bool = True) -> None:
        self.generations: list[GenerationRequest] = []
        self.timeouts: list[float] = []
        self.users: list[str | None] = []
        self.num_active = 0
        self._broken = [BROKEN] if with_broken else []

    async def generate(self, model: str, request: GenerationRequest, call: Call) -> GenerationStream:
        card = self._card(model, Task.GENERATE)
        self.generations.append(request)
        self.users.append(call.user)
        self.timeouts.append(call.remaining_s())
        words = _words(request.prompt)
        await self._misbehave(words, call.remaining_s())
        self.num_active += 1
        return GenerationStream(card.id, self._echo(words, request))

    async def embed(self, model: str, request: EmbeddingRequest, call: Call) -> tuple[VersionId, EmbeddingResult]:
        card = self._card(model, Task.EMBED)
        rows = [_letter_counts(item) for item in request.inputs]
        tokens = sum(len(item.split()) if isinstance(item, str) else len(item) for item in request.inputs)
        return card.id, EmbeddingResult(np.array(rows, np.float32), Usage(tokens))

    async def infer(self, model: str, request: InferRequest, call: Call) -> tuple[VersionId, tuple[Tensor, ...]]:
        card = self._card(model, Task.INFER)
        self.timeouts.append(call.remaining_s())
        if card.id.name == "adder" and {tensor.name for tensor in request.inputs} == {"a", "b"}:
            left, right = (tensor.data.astype(np.float32) for tensor in request.inputs)
            return card.id, (Tensor("sum", "FP32", left + right),)
        named = {tensor.name: tensor for tensor in request.inputs}
        missing = set(request.outputs) - set(named)
        if missing:
            raise InvalidRequestError(f"no output {missing.pop()!r}", param="outputs")
        return card.id, tuple(named[name] for name in request.outputs or named)

    async def cards(self, call: Call) -> list[ModelCard]:
        return list(CARDS)

    async def card(self, model: str, call: Call) -> ModelCard:
        return self._card(model)

    async def states(self, call: Call) -> list[ModelState]:
        may_use = call.caller.may_use
        return [state for state in self._states() if may_use((state.id.name, str(state.id)))]

    async def all_ready(self) -> bool:
        return all(state.ready for state in self._states())

    async def state(self, model: str, call: Call) -> ModelState:
        if model.partition("@")[0] == "broken":
            return BROKEN
        return ModelState(self._card(model).id, True, "ready")

    async def choose(self, model: str, call: Call) -> ModelState:
        return await self.state(model, call)

    def _states(self) -> list[ModelState]:
        ready = [ModelState(card.id, True, "ready") for card in CARDS]
        return sorted([*ready, *self._broken], key=lambda state: state.id)

    def _card(self, model: str, task: Task | None = None) -> ModelCard:
        if model.partition("@")[0] == "broken":
            raise ModelUnavailableError("broken@1 is down: its weights are damaged", retry_after_s=2.5)
        named = [card for card in CARDS if model in (card.id.name, str(card.id))]
        if not named:
            raise ModelNotFoundError(f"no model {model!r} is deployed", remedy="there are adder, echo, mini")
        if task not in (None, named[-1].task):
            raise WrongTaskError(f"{named[-1].id} does not {task}", param="model")
        return named[-1]

    async def _misbehave(self, words: list[str], timeout_s: float) -> None:
        if "overload" in words:
            raise OverloadedError("the queue of echo@2 is full", retry_after_s=1)
        if "crash" in words:
            raise RuntimeError("the secret cause")
        if len(words) > MAX_MODEL_LEN:
            raise ContextLengthError(f"{len(words)} tokens exceed the {MAX_MODEL_LEN} of echo", param="prompt")
        if "silent" in words:
            await self._sleep_until(timeout_s)

    async def _sleep_until(self, timeout_s: float) -> None:
        self.num_active += 1
        try:
            await asyncio.sleep(timeout_s)
            raise DeadlineExceededError(f"nothing within {timeout_s:.2f} s")
        finally:
            self.num_active -= 1

    async def _echo(self, words: list[str], request: GenerationRequest) -> AsyncGenerator[GenerationChunk]:
        limit = request.sampling.max_tokens or len(words)
        reason = FinishReason.LENGTH if limit < len(words) else FinishReason.STOP
        try:
            if isinstance(request.prompt, Conversation) and request.prompt.tools is not None:
                async for chunk in _calls(request.prompt.tools, len(words)):
                    yield chunk
                return
            for index, word in enumerate(words[:limit]):
                if word in request.sampling.stop:
                    yield GenerationChunk("", FinishReason.STOP, Usage(len(words), index), stop_string=word)
                    return
                if word == "break":
                    raise EngineError("the engine broke")
                if word == "crashlate":
                    raise RuntimeError("the secret cause")
                yield GenerationChunk(word + " ", num_prompt_tokens=0 if index else len(words))
                while word == "forever":
                    await asyncio.sleep(0.01)
                    yield GenerationChunk(word + " ")
            yield GenerationChunk("", reason, Usage(len(words), min(limit, len(words))))
        finally:
            self.num_active -= 1


async def _calls(tools: Tools, num_words: int) -> AsyncGenerator[GenerationChunk]:
    """Calls every function with the number of words, its arguments in two parts."""
    yield GenerationChunk("Let me see. ")
    for index, function in enumerate(tools.functions):
        first, second = f'{{"words": {num_words}', "}"
        yield GenerationChunk(
            "", tool_calls=(ToolCallPiece(index, "", function.name), ToolCallPiece(index, first))
        )
        yield GenerationChunk("", tool_calls=(ToolCallPiece(index, second),))
    yield GenerationChunk("", FinishReason.TOOL_CALLS, Usage(num_words, len(tools.functions)))


def _words(prompt: Prompt) -> list[str]:
    if isinstance(prompt, Conversation):
        return " ".join(message.content for message in prompt.messages).split()
    return prompt.split() if isinstance(prompt, str) else [str(token) for token in prompt]


def _letter_counts(item: str | tuple[int, ...]) -> list[float]:
    if item == "nan":
        return [math.nan] * EMBEDDING_DIM
    if isinstance(item, str):
        return [item.count(letter) / 3 for letter in "abcd"]
    return [float(token) for token in (*item, 0, 0, 0, 0)[:EMBEDDING_DIM]]
