"""transformers' continuous batching on the leader of a group, with as many batches under way as there are stages.

The stock loop prepares a batch, computes it and takes up its tokens before it prepares the next. Here a batch that
is prepared goes to the first stage at once, and the loop computes the last stage of the oldest one under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import GenerationConfig
from transformers.generation.configuration_utils import ContinuousBatchingConfig
from transformers.generation.continuous_batching import ContinuousBatchingManager
from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessorList
from transformers.generation.continuous_batching.continuous_api import (
    BackgroundThreadStatus,
    ContinuousBatchProcessor,
)
from transformers.generation.continuous_batching.input_outputs import ContinuousBatchingIOs
from transformers.utils.generic import ModelOutput

from models.parallel.cache_shape import check_alike, shape_of
from models.parallel.links import Links
from models.parallel.runner import StageInput, StageRunner
from models.parallel.scheduler import GroupScheduler
from models.parallel.steps import read_step

_IDLE_S = 0.1


class GroupBatching(ContinuousBatchingManager):
    """Leads a group: what it prepares, the other ranks compute with it.

    Its cache is made together with theirs; ConfigError when the pages do not correspond.
    """

    def __init__(
        self,
        runner: StageRunner,
        links: Links,
        generation_config: GenerationConfig,
        batching_config: ContinuousBatchingConfig,
        max_num_seqs: int,
    ) -> None:
        """``batching_config`` is of one batch, ``max_num_seqs`` counts the sequences of all."""
        self._model = _LastStage(runner)
        self._links = links
        self._num_batches = runner.stage.shard.degree.pipeline
        self._max_num_seqs = max_num_seqs
        self._free: deque[_Batch] = deque()
        self._under_way: deque[_Batch] = deque()
        self._requests_away: set[str] = set()
        self._rests = True
        # Its annotations name a protocol that no model of transformers' own fulfils.
        super().__init__(cast("Any", runner.stage.model), generation_config, batching_config)

    def _create_batch_processor(self) -> ContinuousBatchProcessor:
        processor = super()._create_batch_processor()
        if not self._free and not self._under_way:
            check_alike(self._links.gather(shape_of(processor.cache)))
            processor.scheduler = processor.offloading_manager.scheduler = GroupScheduler(
                processor.cache, self._max_num_seqs, self._num_batches, self._requests_away
            )
            self._free.extend(self._batches(processor))
        return processor

    def _batches(self, processor: ContinuousBatchProcessor) -> list[_Batch]:
        """One for each stage, the processor's own first."""
        first = _Batch(cast("ContinuousBatchingIOs", processor.inputs_and_outputs), processor.logit_processor)
        others = [deepcopy(processor.logit_processor) for _ in range(self._num_batches - 1)]
        return [first, *(_Batch(_tensors(processor, each), each) for each in others)]

    def _generation_loop_body(self, batch_processor: ContinuousBatchProcessor, bootstrapping: bool) -> bool:  # noqa: ARG002  its own batching is not ahead
        while self._free and self._launch(batch_processor):
            pass
        if self._under_way:
            self._complete(batch_processor)
            self._rests = False
            return True
        if not self._rests:
            self._links.rest()
            self._rests = True
        status = self.background_thread_status.tp_status
        if status == BackgroundThreadStatus.HARD_STOP:
            return False
        if status == BackgroundThreadStatus.FLUSH_AND_STOP and not batch_processor.has_pending_requests():
            return False
        self._wake_up_loop.wait(timeout=_IDLE_S)
        self._wake_up_loop.clear()
        return True

    def _launch(self, processor: ContinuousBatchProcessor) -> bool:
        """Prepare a batch and let all ranks know; False when there is none."""
        batch = self._free[0]
        _use(processor, batch)
        if not processor.prepare_next_batch():
            return False
        self._under_way.append(self._free.popleft())
        self._requests_away.update(batch.request_ids)
        self._links.announce(read_step(batch.tensors.get_model_kwargs()).encode())
        return True

    def _complete(self, processor: ContinuousBatchProcessor) -> None:
        """Compute the last stage of the oldest batch, and take up its tokens."""
        batch = self._under_way[0]
        _use(processor, batch)
        processor._generation_step(self._model)
        self._requests_away.difference_update(batch.request_ids)
        processor.update_batch()
        self._free.append(self._under_way.popleft())


@dataclass(frozen=True, slots=True)
class _Batch:
    """``processors`` of its own: some keep what they have prepared until the scores are there."""

    tensors: ContinuousBatchingIOs
    processors: ContinuousBatchingLogitsProcessorList

    @property
    def request_ids(self) -> list[str]:
        return [each.state.request_id for each in self.tensors.requests_in_batch]


class _LastStage(torch.nn.Module):
    """The leader's model as transformers' runner calls it: the hidden states come from the stage before."""

    def __init__(self, runner: StageRunner) -> None:
        super().__init__()
        self._runner = runner

    def forward(self, input_ids: torch.Tensor, **arguments: object) -> ModelOutput:
        return self._runner.output(StageInput(input_ids, arguments))

    def _supports_logits_to_keep(self) -> bool:
        return bool(cast("Callable[[], bool]", self._runner.stage.model._supports_logits_to_keep)())


def _tensors(
    processor: ContinuousBatchProcessor, processors: ContinuousBatchingLogitsProcessorList
) -> ContinuousBatchingIOs:
    return ContinuousBatchingIOs(
        cache=processor.cache,
        config=processor.config,
        continuous_batching_config=processor.cb_config,
        device=processor.model_device,
        model_dtype=processor.model_dtype,
        logit_processor=processors,
    )


def _use(processor: ContinuousBatchProcessor, batch: _Batch) -> None:
    processor.inputs_and_outputs = processor.model_runner.inputs_and_outputs = batch.tensors
    processor.logit_processor = processor.model_runner.logit_processor = batch.processors
