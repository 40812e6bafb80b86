"""Text generation by vLLM, whose server runs in a child process with an environment of its own.

Prompts are encoded, stop strings found and chunks written here, as for TransformersEngine: the server is sent
token ids and answers token ids. docs/vllm.md says why it is another process.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from functools import partial
from math import ceil
from pathlib import Path

from transformers import GenerationConfig

from models.engines import vllm_server
from models.engines.base import EngineSettings
from models.engines.child_server import ChildServer
from models.engines.chunks import ChunkWriter
from models.engines.grammar import Constraint, GrammarCompiler
from models.engines.idle_sleep import IdleSleep
from models.engines.parts import FRESH, Parts
from models.engines.prompts import PromptEncoder
from models.engines.tool_calls import grammar_of
from models.engines.vllm_wire import GenerateBody, Refused, order, sampling_of, stream_tokens
from models.errors import ConfigError, EngineError, InvalidRequestError, UnsupportedOptionError
from models.manifest import Manifest
from models.types import EngineStats, GenerationChunk, GenerationRequest, Grammar, TensorSpec

_logger = logging.getLogger(__name__)


class VllmEngine:
    """vLLM with the KV bytes, lengths and pages that the settings say, in ``settings.vllm_python``."""

    name = "vllm"
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def __init__(self, folder: Path, manifest: Manifest, settings: EngineSettings, parts: Parts = FRESH) -> None:
        vllm_server.check(manifest, settings)
        python = _interpreter(manifest, settings)
        self._id = manifest.id
        self._settings = settings
        tokenizer = parts.chat_tokenizer(folder, manifest)
        vocab_size = manifest.architecture.vocab_size if manifest.architecture else len(tokenizer)
        self._prompts = PromptEncoder(tokenizer, vocab_size, settings.max_model_len)
        self._tokenizer = tokenizer.backend_tokenizer
        self._eos_ids = end_tokens(folder, tokenizer.eos_token_id)
        self._grammars = GrammarCompiler(self._tokenizer, vocab_size, self._eos_ids)
        self._load: dict[str, int] = {}  # tokens of each request under way, in the order in which they came
        self._server = ChildServer(
            f"vLLM's server for {manifest.id}",
            lambda socket: vllm_server.command(python, folder, manifest, settings, socket),
            vllm_server.environment(settings, os.environ),
        )
        limit_s = vllm_server.start_limit_s(manifest.weight_bytes)
        self._idle = _idle_sleep(settings.sleep_after_s, self._server.socket, limit_s)
        self._server.wait_until_ready(limit_s)

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk]:
        prompt_ids, constraint, body = await asyncio.to_thread(self._prepare, request)
        chunks = ChunkWriter(self._tokenizer, self._eos_ids, request, len(prompt_ids))
        generated: list[int] = []
        self._load[request.request_id] = len(prompt_ids)
        try:
            async with self._awake(), aclosing(stream_tokens(self._server.socket, body)) as steps:
                async for step in steps:
                    generated += step.ids
                    self._load[request.request_id] = len(prompt_ids) + len(generated)
                    if step.ended:
                        self._check_grammar(constraint, generated)
                    chunk = chunks.advance(generated, step.ended)
                    if chunk is not None:
                        yield chunk
                        if chunk.finish_reason is not None:
                            return
        except Refused as refused:
            raise self._refusal(request, refused) from refused
        except EngineError as error:
            _logger.error("%s failed: %s; its server's last lines:\n%s", self._id, error, self._server.tail())  # noqa: TRY400
            raise
        finally:
            self._load.pop(request.request_id, None)

    def check(self) -> None:
        self._server.check()
        if self._idle is not None:
            self._idle.check()

    def stats(self) -> EngineStats:
        """Counted here: who runs is who came first, and a page that sequences share counts for each."""
        num_running = min(len(self._load), self._settings.max_num_seqs)
        lengths = list(self._load.values())
        num_pages = sum(ceil(length / self._settings.page_size) for length in lengths[:num_running])
        return EngineStats(
            num_running=num_running,
            num_waiting=len(lengths) - num_running,
            num_waiting_tokens=sum(lengths[num_running:]),
            num_kv_pages_used=min(num_pages, self._settings.num_kv_pages),
            num_kv_pages=self._settings.num_kv_pages,
        )

    def close(self) -> None:
        if self._idle is not None:
            self._idle.close()
        self._server.close()

    def _awake(self) -> AbstractAsyncContextManager[None]:
        return nullcontext() if self._idle is None else self._idle.awake()

    def _prepare(self, request: GenerationRequest) -> tuple[list[int], Constraint | None, GenerateBody]:
        """The tokens of the prompt, what its continuation has to match, and what the server is asked."""
        prompt_ids = self._prompts.encode(request.prompt)
        max_tokens = self._prompts.max_new_tokens(len(prompt_ids), request.sampling)
        grammar = grammar_of(request, self._tokenizer)
        body = GenerateBody(
            request_id=request.request_id,
            token_ids=prompt_ids,
            sampling_params=sampling_of(request.sampling, max_tokens, self._eos_ids, grammar),
            stream=True,
        )
        return prompt_ids, self._constraint(grammar), body

    def _constraint(self, grammar: Grammar | None) -> Constraint | None:
        """Compiled here too: what cannot be followed is refused as TransformersEngine refuses it."""
        return None if grammar is None else self._grammars.constrain(grammar, num_prompt_tokens=0)

    def _check_grammar(self, constraint: Constraint | None, generated: list[int]) -> None:
        """Where a grammar takes more than the library's limits, vLLM ends the text and says nothing."""
        if constraint is not None and not constraint.follows(generated):
            raise InvalidRequestError(
                "the grammar takes too much to be followed any further",
                remedy="make the schema or expression simpler",
                param=constraint.param,
            )

    def _refusal(self, request: GenerationRequest, refused: Refused) -> Exception:
        """All else that a request can ask for was checked before, or is known to be taken."""
        if request.grammar is None:
            return EngineError(f"vLLM refuses a request for {self._id}: {refused}")
        return UnsupportedOptionError(
            f"vLLM cannot follow {request.grammar.param}: {refused}",
            remedy="leave it out, or use engine: transformers",
            param=request.grammar.param,
        )


def _interpreter(manifest: Manifest, settings: EngineSettings) -> Path:
    """ConfigError when it cannot be run."""
    python = settings.vllm_python
    if python is None or not os.access(python, os.X_OK):
        raise ConfigError(
            f"{manifest.id} is served by vLLM, but vllm_python {python} is no interpreter on this node",
            remedy="install vLLM as docs/vllm.md says, on every node, and name its python",
        )
    return python


def _idle_sleep(after_s: float | None, socket: Path, limit_s: float) -> IdleSleep | None:
    """At level 1 the weights go to the node's memory, and the KV cache is dropped."""
    if after_s is None:
        return None
    sleep, wake = (partial(order, socket, path, limit_s) for path in ("/sleep?level=1", "/wake_up"))
    return IdleSleep(after_s, sleep, wake)


def end_tokens(folder: Path, tokenizer_eos: int | None) -> frozenset[int]:
    """Every token that ends a generation: the generation config's, or else the model's, and the tokenizer's."""
    name = "generation_config.json" if (folder / "generation_config.json").is_file() else "config.json"
    configured = GenerationConfig.from_pretrained(folder, name, local_files_only=True).eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(token_id for token_id in (*ids, tokenizer_eos) if token_id is not None)
