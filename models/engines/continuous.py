"""What engines on transformers' continuous batching have in common: requests in, chunks out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from functools import cache
from math import ceil
from queue import Queue

from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.generation.configuration_utils import ContinuousBatchingConfig
from transformers.generation.continuous_batching import ContinuousBatchingManager
from transformers.generation.continuous_batching import utils as batching_utils
from transformers.generation.continuous_batching.cache import PagedAttentionCache
from transformers.generation.continuous_batching.requests import GenerationOutput, RequestStatus

from models.engines.base import EngineSettings
from models.engines.chunks import ChunkWriter
from models.engines.grammar import Constraint, GrammarCompiler
from models.engines.grammar_mask import grammar_arguments
from models.engines.heap import return_kept_blocks
from models.engines.prompts import PromptEncoder
from models.engines.sampling import build_processors, logits_arguments
from models.engines.tool_calls import grammar_of
from models.errors import EngineError, InvalidRequestError, UnsupportedOptionError
from models.types import (
    EngineStats,
    GenerationChunk,
    GenerationRequest,
    Grammar,
    TensorSpec,
    VersionId,
)

_STOP_TIMEOUT_S = 10.0

# These do not change, and to read them from /proc/self/numa_maps takes a third of a small model's load: the
# kernel walks through the pages of whatever the process has mapped.
batching_utils._get_allowed_numa_nodes = cache(batching_utils._get_allowed_numa_nodes)


class _Nowhere(Queue[GenerationOutput]):
    """Where outputs go that nobody waits for any more: of requests that were cancelled or ended by a stop."""

    def put(self, item: GenerationOutput, block: bool = True, timeout: float | None = None) -> None:
        """Keep nothing."""


MakeManager = Callable[[GenerationConfig, ContinuousBatchingConfig], ContinuousBatchingManager]


class ContinuousEngine:
    """Paged KV cache and shared prefixes; the batches are made in a thread of the manager's own.

    ``make_manager`` makes it for ``model``, from configs that have exactly the pages and lengths of the settings.
    """

    name = "transformers"
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()

    def __init__(
        self,
        version: VersionId,
        settings: EngineSettings,
        tokenizer: PreTrainedTokenizerBase,
        model: PreTrainedModel,
        make_manager: MakeManager,
    ) -> None:
        self._id = version
        self._settings = settings
        self._vocab_size: int = model.config.get_text_config().vocab_size
        self._prompts = PromptEncoder(tokenizer, self._vocab_size, settings.max_model_len)
        self._tokenizer = tokenizer.backend_tokenizer
        self._eos_ids = _end_tokens(model, tokenizer.eos_token_id)
        self._grammars = GrammarCompiler(self._tokenizer, self._vocab_size, self._eos_ids)
        self._manager = make_manager(_generation_config(self._eos_ids), batching_config(settings))
        self._manager.output_router.output_queue = _Nowhere()
        self._manager.logit_processor = build_processors(self._vocab_size)
        self._manager.warmup()
        self._manager.start()
        self._prepares_ahead = _prepares_ahead(self._manager.continuous_batching_config)
        self._num_active = 0

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationChunk]:
        prompt_ids, constraint = await asyncio.to_thread(self._prepare, request)
        max_new_tokens = self._prompts.max_new_tokens(len(prompt_ids), request.sampling)
        chunks = ChunkWriter(self._tokenizer, self._eos_ids, request, len(prompt_ids))
        outputs = self._submit(request, prompt_ids, max_new_tokens, constraint)
        ended = False
        self._num_active += 1
        try:
            while not ended:
                output = await _newest(outputs)
                ended = output.is_finished()
                self._check_output(output, constraint)
                chunk = chunks.advance(output.generated_tokens, ended)
                if chunk is not None:
                    yield chunk
                    if chunk.finish_reason is not None:
                        return
        finally:
            if not ended:
                self._cancel(request.request_id)
            self._num_active -= 1
            if self._settings.keeps_heap and not self._num_active:  # nobody waits for this
                asyncio.get_running_loop().run_in_executor(None, return_kept_blocks)

    def check(self) -> None:
        error = self._manager.background_thread_status.fatal_error
        if error is not None or not self._manager.is_running():
            raise EngineError(f"the generation loop of {self._id} has ended: {error}") from error

    def stats(self) -> EngineStats:
        processor = self._manager.batch_processor
        if processor is None:
            return EngineStats(num_kv_pages=self._settings.num_kv_pages)
        cache, scheduler = processor.cache, processor.scheduler
        waiting = [*scheduler.waiting_requests.copy().values(), *self._manager.input_queue.queue.copy()]
        return EngineStats(
            num_running=len(scheduler.active_requests),
            num_waiting=len(waiting),
            num_waiting_tokens=sum(len(each.initial_tokens) for each in waiting),
            num_kv_pages_used=_num_pages_used(cache),
            num_kv_pages=cache.num_blocks,
        )

    def abort(self, cause: str) -> None:
        """Fail every request that is here, with this cause, whatever the loop does; from any thread."""
        router = self._manager.output_router
        with router._lock:
            request_ids = list(router.result_handlers)
        for request_id in request_ids:
            router.deliver(GenerationOutput(request_id, error=cause, status=RequestStatus.FAILED))

    def close(self) -> None:
        if self._manager.is_running():
            self._manager.stop(block=True, timeout=_STOP_TIMEOUT_S, hard_stop=True)

    def _prepare(self, request: GenerationRequest) -> tuple[list[int], Constraint | None]:
        """The tokens of the prompt, and what its continuation has to match."""
        prompt_ids = self._prompts.encode(request.prompt)
        grammar = self._grammar_of(request)
        return prompt_ids, None if grammar is None else self._grammars.constrain(grammar, len(prompt_ids))

    def _grammar_of(self, request: GenerationRequest) -> Grammar | None:
        grammar = grammar_of(request, self._tokenizer)
        if grammar is not None and self._prepares_ahead:
            raise UnsupportedOptionError(
                f"{self._id} runs where batches are prepared before the last tokens are known, "
                "so its text cannot be kept to a grammar",
                remedy="leave it out",
                param=grammar.param,
            )
        return grammar

    def _check_output(self, output: GenerationOutput, constraint: Constraint | None) -> None:
        if output.error is not None:
            raise EngineError(f"generation with {self._id} failed: {output.error}")
        if constraint is not None and constraint.failure is not None:
            raise InvalidRequestError(
                f"the grammar takes too much to be followed any further: {constraint.failure}",
                remedy="make the schema or expression simpler",
                param=constraint.param,
            )

    def _submit(
        self,
        request: GenerationRequest,
        prompt_ids: list[int],
        max_new_tokens: int,
        constraint: Constraint | None,
    ) -> asyncio.Queue[GenerationOutput]:
        outputs: asyncio.Queue[GenerationOutput] = asyncio.Queue()
        self._manager.register_result_handler(request.request_id, outputs.put_nowait)
        added = self._manager.add_request(
            prompt_ids,
            request_id=request.request_id,
            max_new_tokens=max_new_tokens,
            streaming=True,
            **logits_arguments(request.sampling, self._vocab_size),
            **grammar_arguments(constraint),
        )
        if added is None:
            self._forget(request.request_id)
            raise EngineError(f"the generation loop of {self._id} accepts no requests: it has ended")
        return outputs

    def _cancel(self, request_id: str) -> None:
        self._forget(request_id)
        self._manager.cancel_request(request_id)

    def _forget(self, request_id: str) -> None:
        """The manager forgets a handler only when its request finishes, which a cancelled one never does."""
        router = self._manager.output_router
        with router._lock:
            router.result_handlers.pop(request_id, None)


async def _newest(outputs: asyncio.Queue[GenerationOutput]) -> GenerationOutput:
    """The latest output; each one holds all tokens so far, so older ones add nothing."""
    output = await outputs.get()
    while not outputs.empty():
        output = outputs.get_nowait()
    return output


def _num_pages_used(cache: PagedAttentionCache) -> int:
    """Pages of the requests that run; those kept from past prompts are given up when needed, so they are free."""
    allocators = cache.cache_allocators.values()
    kept_bytes = sum(len(each.ledger.cached_blocks) * each.bytes_per_block for each in allocators)
    all_bytes = cache.num_sectors * cache.bytes_per_sector
    used_bytes = all_bytes - int(cache.compute_free_capacity(relative=False)) - kept_bytes
    used_pages: int = ceil(used_bytes * cache.num_blocks / all_bytes)
    return max(0, used_pages)  # the loop goes on while this is read


def _prepares_ahead(config: ContinuousBatchingConfig) -> bool:
    """With flash attention on a GPU; see GrammarMask."""
    return bool(config.use_async_batching) or any(config.cuda_graph_booleans)


def _end_tokens(model: PreTrainedModel, tokenizer_eos: int | None) -> frozenset[int]:
    """Every token that ends a generation: the generation config's, and the tokenizer's end of turn."""
    configured = model.generation_config.eos_token_id if model.generation_config else None
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(token_id for token_id in (*ids, tokenizer_eos) if token_id is not None)


def _generation_config(eos_ids: frozenset[int]) -> GenerationConfig:
    return GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False, eos_token_id=sorted(eos_ids) or -1, pad_token_id=min(eos_ids, default=0)
    )


def batching_config(settings: EngineSettings) -> ContinuousBatchingConfig:
    """The pages, lengths and numbers of the settings, and nothing that sizes itself."""
    return ContinuousBatchingConfig(
        page_size=settings.page_size,
        num_blocks=settings.num_kv_pages,
        max_batch_tokens=settings.max_batch_tokens,
        max_memory_percent=1.0,  # the plan has left room; the default is 60% of a CPU node
        max_requests_per_batch=settings.max_num_seqs,
        allow_block_sharing=True,
        auto_switch_to_flash=settings.device != "cpu",
    )
