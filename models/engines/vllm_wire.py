"""What is said to vLLM's server: token ids in, token ids out, at its ``/inference/v1/generate``."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

import aiohttp
from pydantic import BaseModel, ValidationError

from models.engines.grammar import json_source, lark_of_regex
from models.errors import EngineError
from models.types import Grammar, GrammarKind, SamplingParams

_PREFIX = b"data: "
_DONE = b"[DONE]"
_GOOD_REASONS = frozenset({"stop", "length"})
_MAX_SEED = 1 << 63

# One event holds the tokens of one step.
_MAX_EVENT_BYTES = 1 << 20
# No bound on a generation, which the caller's deadline ends.
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10)


class Sampling(TypedDict):
    """vLLM's SamplingParams, as far as a request can ask for them."""

    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    stop_token_ids: list[int]
    detokenize: bool
    seed: NotRequired[int]
    structured_outputs: NotRequired[dict[str, str | list[str]]]


class GenerateBody(TypedDict):
    """The body of a request."""

    request_id: str
    token_ids: list[int]
    sampling_params: Sampling
    stream: bool


@dataclass(frozen=True, slots=True)
class Tokens:
    """What one step has generated; ``ended``: nothing follows."""

    ids: list[int]
    ended: bool


class Refused(Exception):  # noqa: N818  an answer, whose meaning the engine knows
    """The server takes the request for one that can never be served."""


class _Choice(BaseModel):
    token_ids: list[int]
    finish_reason: str | None


class _Error(BaseModel):
    message: str


class _Event(BaseModel):
    choices: list[_Choice] = []
    error: _Error | None = None


def sampling_of(
    params: SamplingParams, max_tokens: int, end_ids: frozenset[int], grammar: Grammar | None
) -> Sampling:
    """Text is ours to make of the tokens, and stop strings ours to find in it."""
    sampling = Sampling(
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=params.top_k,
        max_tokens=max_tokens,
        stop_token_ids=sorted(end_ids),
        detokenize=False,
    )
    if params.seed is not None:
        sampling["seed"] = params.seed % _MAX_SEED
    if grammar is not None:
        sampling["structured_outputs"] = structured_outputs(grammar)
    return sampling


def structured_outputs(grammar: Grammar) -> dict[str, str | list[str]]:
    """The grammar in vLLM's words; one that GrammarCompiler has compiled."""
    match grammar.kind:
        case GrammarKind.JSON_SCHEMA:
            return {"json": json_source(grammar.text)}
        case GrammarKind.REGEX:
            return {"grammar": lark_of_regex(grammar.text)}
        case GrammarKind.CHOICE:
            return {"choice": json.loads(grammar.text)}
        case GrammarKind.LARK:
            return {"grammar": grammar.text}


async def stream_tokens(socket: Path, body: GenerateBody) -> AsyncGenerator[Tokens]:
    """What the server generates, step by step; to close the generator cancels the request.

    EngineError when the server fails or goes away; Refused.
    """
    connector = aiohttp.UnixConnector(str(socket))
    try:
        async with (
            aiohttp.ClientSession(
                "http://localhost", connector=connector, timeout=_TIMEOUT, read_bufsize=_MAX_EVENT_BYTES
            ) as session,
            session.post("/inference/v1/generate", json=body) as response,
        ):
            if response.status != 200:
                raise _failure(response.status, await response.read())
            async for line in response.content:
                tokens = parse_event(line)
                if tokens is not None:
                    yield tokens
                    if tokens.ended:
                        return
    except (aiohttp.ClientError, OSError) as error:
        raise EngineError(f"the vLLM server has gone away: {error!r}") from error
    raise EngineError("the vLLM server has ended an answer in the middle")


async def order(socket: Path, path: str, limit_s: float) -> None:
    """Have the server do what ``path`` says. EngineError when it does not, or not within ``limit_s``."""
    connector, timeout = aiohttp.UnixConnector(str(socket)), aiohttp.ClientTimeout(total=limit_s)
    try:
        async with (
            aiohttp.ClientSession("http://localhost", connector=connector, timeout=timeout) as session,
            session.post(path) as response,
        ):
            if response.status != 200:
                raise EngineError(f"vLLM answers {response.status} to {path}: {await response.text()}")
    except TimeoutError as error:
        raise EngineError(f"vLLM has not answered {path} within {limit_s:g} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise EngineError(f"the vLLM server has gone away: {error!r}") from error


def parse_event(line: bytes) -> Tokens | None:
    """One line of the stream; None for a line without tokens. EngineError when it tells of a failure."""
    data = line.removeprefix(_PREFIX).strip()
    if not line.startswith(_PREFIX) or data == _DONE:
        return None
    try:
        event = _Event.model_validate_json(data)
    except ValidationError as error:
        raise EngineError(f"vLLM sent {data[:200]!r}, which is no part of a generation") from error
    if event.error is not None:
        raise EngineError(f"vLLM: {event.error.message}")
    ids: list[int] = [token_id for choice in event.choices for token_id in choice.token_ids]
    reason = next((choice.finish_reason for choice in event.choices if choice.finish_reason), None)
    if reason is not None and reason not in _GOOD_REASONS:
        raise EngineError(f"vLLM has ended the generation with {reason!r}")
    return Tokens(ids, reason is not None) if event.choices else None


def _failure(status: int, content: bytes) -> Exception:
    told = content.decode(errors="replace")
    return Refused(told) if 400 <= status < 500 else EngineError(f"vLLM answers {status}: {told}")
