"""A client of streamed chat completions that notes when tokens come. The same for every server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import httpx
from pydantic import BaseModel, Field

from models.errors import StowageError

_DATA = "data: "
_DONE = "[DONE]"


@dataclass(frozen=True, slots=True)
class Answer:
    """One finished stream. Token counts are the server's own; times in seconds since the request was sent."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    first_token_s: float
    total_s: float


class Usage(BaseModel):
    """What OpenAI's protocol says of the tokens of a request."""

    prompt_tokens: int
    completion_tokens: int


class Delta(BaseModel):
    """New text; absent where only the role or the end is told."""

    content: str | None = None


class Choice(BaseModel):
    """The only one here."""

    delta: Delta


class Chunk(BaseModel):
    """One event; servers say more in it."""

    choices: list[Choice] = Field(default_factory=list)
    usage: Usage | None = None

    @property
    def text(self) -> str:
        return "".join(choice.delta.content or "" for choice in self.choices)


class ChatClient:
    """Talks to one server about one model, greedily. ``options`` are further fields of every request."""

    def __init__(
        self,
        base_url: str,
        model: str,
        max_tokens: int,
        options: Mapping[str, object],
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._url = f"{base_url}/v1/chat/completions"
        self._fields = {"model": model, "max_tokens": max_tokens, "temperature": 0, "stream": True, **options}
        self._headers = headers

    async def ask_all(self, prompts: Sequence[str]) -> list[Answer]:
        """All prompts at once, each on a connection of its own; the answers in their order."""
        limits = httpx.Limits(max_connections=len(prompts))
        async with httpx.AsyncClient(timeout=300, limits=limits, trust_env=False, headers=self._headers) as http:
            return await asyncio.gather(*(self._ask(http, prompt) for prompt in prompts))

    async def _ask(self, http: httpx.AsyncClient, prompt: str) -> Answer:
        body = {**self._fields, "messages": [{"role": "user", "content": prompt}]}
        sent = time.perf_counter()
        async with http.stream("POST", self._url, json=body) as response:
            if response.status_code != 200:
                raise StowageError(f"{self._url}: {response.status_code} {(await response.aread()).decode()}")
            return await collect(chunks(response.aiter_lines()), sent)


async def chunks(lines: AsyncIterator[str]) -> AsyncIterator[Chunk]:
    """The events of a stream, up to its end."""
    async for line in lines:
        if line.startswith(_DATA) and line != _DATA + _DONE:
            yield Chunk.model_validate_json(line.removeprefix(_DATA))


async def collect(stream: AsyncIterator[Chunk], sent: float) -> Answer:
    """Put an answer together. StowageError when it has no text or no usage."""
    pieces: list[str] = []
    first_token_s, usage = 0.0, None
    async for chunk in stream:
        if chunk.text and not pieces:
            first_token_s = time.perf_counter() - sent
        if chunk.text:
            pieces.append(chunk.text)
        usage = chunk.usage or usage
    if usage is None or not pieces:
        raise StowageError(f"the stream ended with usage {usage} after {len(pieces)} pieces of text")
    return Answer(
        "".join(pieces),
        usage.prompt_tokens,
        usage.completion_tokens,
        first_token_s,
        time.perf_counter() - sent,
    )
