"""A model that a group of ranks computes: the leader's engine for text generation, and what the others run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import torch
import torch.distributed as dist
from transformers import AutoTokenizer, GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.generation.configuration_utils import ContinuousBatchingConfig
from transformers.generation.continuous_batching.cache import PagedAttentionCache
from transformers.generation.continuous_batching.distributed import DistributedHelper
from transformers.generation.continuous_batching.initialization import resolve_continuous_batching_config

from models.engines.base import EngineSettings
from models.engines.continuous import ContinuousEngine, batching_config
from models.engines.cuda_memory import limit_cuda_memory
from models.engines.heap import return_freed_blocks, return_kept_blocks
from models.engines.quiet import quieten_transformers
from models.errors import GroupError
from models.manifest import Manifest
from models.parallel.batching import GroupBatching
from models.parallel.cache_shape import check_alike, shape_of
from models.parallel.follower import Follower
from models.parallel.layout import GroupLayout
from models.parallel.links import Links, States, tensor_mesh
from models.parallel.pulse import ProgressCounter
from models.parallel.rendezvous import GROUP_TIMEOUT
from models.parallel.runner import StageRunner
from models.parallel.stage import load_stage
from models.parallel.steps import StepReader
from models.parallel.texts import TextReader
from models.progress import Progress
from models.types import Task

# Less than this in each of the batches under way, and a prompt takes steps without end.
_MIN_BATCH_TOKENS = 16
# How long the other ranks have to hear that they may end; they listen as soon as their step is computed.
DISMISS_TIMEOUT_S = 10.0
_GENERATION_CONFIG = "generation_config.json"


@dataclass(frozen=True, slots=True)
class Rank:
    """What one process of a group holds, and within which limits. It has joined the group's torch.distributed."""

    folder: Path
    manifest: Manifest
    settings: EngineSettings
    layout: GroupLayout
    number: int


class GroupEngine(ContinuousEngine):
    """Leads the group: requests come to it, and it chooses every token. Blocks until the others are ready.

    ConfigError when the model cannot be divided so.
    """

    def __init__(self, rank: Rank, progress: Progress, pulse: ProgressCounter) -> None:
        runner, links = open_rank(rank, progress, pulse)
        self._links = links
        self._is_closed = False
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(rank.folder, local_files_only=True)
        _read_generation_config(runner.stage.model, rank.folder)
        super().__init__(
            rank.manifest.id,
            rank.settings,
            tokenizer,
            runner.stage.model,
            lambda generation_config, _: GroupBatching(
                runner, links, generation_config, _share_of_batch(rank), rank.settings.max_num_seqs
            ),
        )

    def close(self) -> None:
        """The other ranks end too. GroupError when they, or this one's own loop, are stuck."""
        if self._is_closed:
            return
        self._is_closed = True
        super().close()
        if self._manager.is_running():
            raise GroupError(f"the generation loop of {self._id} does not end", remedy="end the group's processes")
        self._links.dismiss(DISMISS_TIMEOUT_S)


def make_follower(rank: Rank, progress: Progress, pulse: ProgressCounter) -> Follower:
    """What any rank but the leader runs, whatever the model's task. Blocks until all are ready.

    ConfigError when the model cannot be divided so.
    """
    if rank.manifest.task is Task.EMBED:
        return_freed_blocks()
    runner, links = open_rank(rank, progress, pulse)
    if rank.manifest.task is Task.EMBED:
        return Follower(runner, links, TextReader(rank.settings.device), _rest)
    cache = _paged_cache(runner.stage.model, rank)
    check_alike(links.gather(shape_of(cache)))
    rest = return_kept_blocks if rank.settings.keeps_heap else _rest
    return Follower(runner, links, StepReader(cache, runner.stage.model.dtype), rest)


def _rest() -> None:
    """Nothing is kept that could be given back."""


def open_rank(rank: Rank, progress: Progress, pulse: ProgressCounter) -> tuple[StageRunner, Links]:
    """Load the rank's shard, and connect it to the others when all have. Every rank has to call it."""
    quieten_transformers()
    torch.set_num_threads(rank.settings.num_threads)
    limit_cuda_memory(rank.settings)
    device = rank.settings.device
    mesh = tensor_mesh(rank.layout, device)
    control = dist.new_group(backend="gloo", timeout=GROUP_TIMEOUT)
    states = dist.new_group(timeout=GROUP_TIMEOUT)
    pulse.advance("loads its weights")
    stage = load_stage(rank.folder, rank.manifest, rank.layout.shard(rank.number), device, mesh, progress)
    shape = States(stage.model.config.hidden_size, stage.model.dtype, device)
    links = Links(rank.layout, rank.number, control, states, shape, pulse)
    links.try_out(mesh)
    return StageRunner(stage, links, pulse), links


def _paged_cache(model: PreTrainedModel, rank: Rank) -> PagedAttentionCache:
    """This rank's part of the KV cache; its pages have the numbers that they have on the leader."""
    config = resolve_continuous_batching_config(
        config=model.config,
        cb_config=_share_of_batch(rank),
        workload_hints=None,
        has_logit_processors=True,
        device=model.device,
    )
    return PagedAttentionCache(
        model.config, config, model.device, DistributedHelper(None, None), model.dtype, True
    )


def _share_of_batch(rank: Rank) -> ContinuousBatchingConfig:
    """The config of each of the batches under way, of which there are as many as stages."""
    settings, num_batches = rank.settings, rank.layout.degree.pipeline
    config = batching_config(
        replace(
            settings,
            max_batch_tokens=max(_MIN_BATCH_TOKENS, ceil(settings.max_batch_tokens / num_batches)),
            max_num_seqs=ceil(settings.max_num_seqs / num_batches),
        )
    )
    # A step is what all ranks compute from the same message: none of them runs ahead or replays a graph.
    config.auto_switch_to_flash = False
    config.use_cuda_graph = False
    config.use_async_batching = False
    config.max_blocks_per_request = 0
    return config


def _read_generation_config(model: PreTrainedModel, folder: Path) -> None:
    if (folder / _GENERATION_CONFIG).is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
