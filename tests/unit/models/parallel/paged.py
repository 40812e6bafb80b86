"""transformers' own continuous batching in this process: what a group's leader has to tell."""

from __future__ import annotations

from typing import Any

import torch
from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel
from transformers.generation.configuration_utils import ContinuousBatchingConfig
from transformers.generation.continuous_batching.cache import PagedAttentionCache
from transformers.generation.continuous_batching.continuous_api import ContinuousBatchProcessor
from transformers.generation.continuous_batching.distributed import DistributedHelper
from transformers.generation.continuous_batching.requests import RequestState

PAGE_SIZE = 4


def batching_config(num_pages: int, *, max_batch_tokens: int = 16) -> ContinuousBatchingConfig:
    return ContinuousBatchingConfig(
        page_size=PAGE_SIZE,
        num_blocks=num_pages,
        max_batch_tokens=max_batch_tokens,
        max_requests_per_batch=8,
        max_memory_percent=1.0,
        use_cuda_graph=False,
        use_async_batching=False,
        max_blocks_per_request=0,
        allow_block_sharing=True,
        auto_switch_to_flash=False,
    )


def cache_of(config: PretrainedConfig, *, num_pages: int = 32) -> PagedAttentionCache:
    return PagedAttentionCache(
        config, batching_config(num_pages), "cpu", DistributedHelper(None, None), torch.float32, True
    )


def processor_of(model: PreTrainedModel, *, num_pages: int = 64) -> ContinuousBatchProcessor:
    """Of a manager whose loop does not run."""
    of_any: Any = model
    manager = of_any.init_continuous_batching(
        GenerationConfig(do_sample=False, eos_token_id=-1, pad_token_id=0),  # type: ignore[no-untyped-call]
        batching_config(num_pages),
    )
    processor: ContinuousBatchProcessor = manager._create_batch_processor()
    return processor


def request(name: str, prompt: list[int], *, max_new_tokens: int = 8) -> RequestState:
    return RequestState(request_id=name, initial_tokens=prompt, max_new_tokens=max_new_tokens, eos_token_id=-1)
