"""A model that gives tokens without computing any, and the least that serves it as OpenAI's chat.

No ``from __future__ import annotations`` here: Serve reads the class of the argument off the signature.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import cast

from pydantic import JsonValue
from ray import serve
from ray.serve import Application
from ray.serve.handle import DeploymentHandle
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from benchmarks.noop import deployment, stowage_deployment
from models.manifest import Frozen
from models.types import (
    FinishReason,
    GenerationChunk,
    GenerationRequest,
    ModelCard,
    SamplingParams,
    Task,
    Usage,
    VersionId,
)

_PROMPT_TOKENS = 8
_DONE = b"data: [DONE]\n\n"


class TokenArgs(Frozen):
    """``token_s`` passes before each token, whoever reads them.

    ``gives_all``: a chunk is all that has been generated since the one before, as with Stowage's engines;
    otherwise it is one token. ``max_concurrency``: requests that a replica works on at once.
    """

    token_s: float = 0
    gives_all: bool = False
    max_concurrency: int = 1024


class TokenModel:
    """Gives as many tokens as it is asked for."""

    def __init__(self, args: TokenArgs) -> None:
        self._token_s = args.token_s
        self._gives_all = args.gives_all
        self._places = asyncio.Semaphore(args.max_concurrency)

    def reconfigure(self, user_config: JsonValue) -> None:
        """The card, for the router to read."""

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk]:
        """As Stowage's models do."""
        total = request.sampling.max_tokens or 1
        async with self._places:
            began, given = time.monotonic(), 0
            while given < total:
                await asyncio.sleep(began + (given + 1) * self._token_s - time.monotonic())
                ready = self._num_ready(time.monotonic() - began, total) if self._gives_all else given + 1
                yield _chunk(given, max(ready, given + 1), total)
                given = max(ready, given + 1)

    def _num_ready(self, elapsed_s: float, total: int) -> int:
        return min(total, int(elapsed_s / self._token_s)) if self._token_s else total


def _chunk(given: int, ready: int, total: int) -> GenerationChunk:
    is_last = ready == total
    return GenerationChunk(
        " word" * (ready - given),
        FinishReason.LENGTH if is_last else None,
        Usage(_PROMPT_TOKENS, total) if is_last else None,
        num_tokens=ready - given,
        num_prompt_tokens=0 if given else _PROMPT_TOKENS,
    )


@serve.ingress()
class BareChat:
    """Chat with nothing around it: no checks, no keys, no limits, no errors; one event for each chunk."""

    def __init__(self, model: DeploymentHandle[TokenModel]) -> None:
        self._generate = model.options(method_name="generate", stream=True)

    def __serve_build_asgi_app__(self) -> Starlette:
        return Starlette(routes=[Route("/v1/chat/completions", self._chat, methods=["POST"])])

    async def _chat(self, request: Request) -> Response:
        body = json.loads(await request.body())
        asked = GenerationRequest(
            uuid.uuid4().hex, body["messages"][-1]["content"], SamplingParams(max_tokens=body["max_tokens"])
        )
        chunks = cast("AsyncIterator[GenerationChunk]", self._generate.remote(asked))
        if body.get("stream"):
            return StreamingResponse(_events(chunks, asked.request_id), media_type="text/event-stream")
        given = [chunk async for chunk in chunks]
        text = "".join(chunk.text for chunk in given)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "length"}
        return JSONResponse(_reply(asked.request_id, "chat.completion", choice, given[-1]))


async def _events(chunks: AsyncIterator[GenerationChunk], request_id: str) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        choice = {"index": 0, "delta": {"content": chunk.text}, "finish_reason": chunk.finish_reason}
        reply = _reply(request_id, "chat.completion.chunk", choice, chunk)
        yield b"data: " + json.dumps(reply, separators=(",", ":")).encode() + b"\n\n"
    yield _DONE


def _reply(request_id: str, kind: str, choice: Mapping[str, object], last: GenerationChunk) -> dict[str, object]:
    reply: dict[str, object] = {"id": f"chatcmpl-{request_id}", "object": kind, "created": 0, "model": "noop"}
    reply["choices"] = [choice]
    if last.usage is not None:
        reply["usage"] = {
            "prompt_tokens": last.usage.prompt_tokens,
            "completion_tokens": last.usage.completion_tokens,
            "total_tokens": last.usage.total_tokens,
        }
    return reply


def build_model(args: TokenArgs) -> Application:
    """``noop@1``, with a card as deployments/app.py writes it."""
    card = ModelCard(
        VersionId("noop", "1"), Task.GENERATE, "noop", created_unix_s=0, max_concurrency=args.max_concurrency
    )
    return stowage_deployment(TokenModel, card).bind(args)


def build_bare_chat(args: TokenArgs) -> Application:
    """The same model behind nothing but an ingress."""
    return deployment(BareChat).bind(deployment(TokenModel).bind(args))
