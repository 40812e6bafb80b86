"""One rank's part of a forward pass: from the stage before, through its own layers, to the next. Imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from transformers.utils.generic import ModelOutput

from models.parallel.links import Links
from models.parallel.pulse import ProgressCounter
from models.parallel.stage import StageModel


@dataclass(frozen=True, slots=True)
class StageInput:
    """``ids`` [batch, tokens], on the rank's device; ``body`` are the other arguments of the base model's forward
    pass, ``head`` those that only a model with a head takes."""

    ids: torch.Tensor
    body: Mapping[str, object]
    head: Mapping[str, object] = field(default_factory=dict)


class StageRunner:
    """Computes the shard. ``pulse`` advances with every layer."""

    def __init__(self, stage: StageModel, links: Links, pulse: ProgressCounter) -> None:
        self.stage = stage
        self._links = links
        for number, layer in enumerate(stage.layers, stage.shard.first_layer):
            layer.register_forward_pre_hook(partial(_tell, pulse, f"computes layer {number}"))
        if stage.shard.is_last:
            stage.layers[-1].register_forward_hook(partial(_tell, pulse, "completes a step"))

    def output(self, given: StageInput) -> ModelOutput:
        """Last stage: what the model gives."""
        result: ModelOutput = self.stage.model(**self._entering(given.ids), **given.body, **given.head)
        return result

    def pass_on(self, given: StageInput) -> None:
        """The next stage gets what this one gives. The last one's tensor slices come together at the leader."""
        if self.stage.shard.is_last:
            self.output(given)
            self._links.settle()
            return
        result = self.stage.model.base_model(**self._entering(given.ids), **given.body)
        self._links.settle()
        self._links.send_states(result.last_hidden_state)

    def _entering(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        if self.stage.shard.is_first:
            return {"input_ids": ids}
        return {"inputs_embeds": self._links.receive_states(ids.shape)}


def _tell(pulse: ProgressCounter, doing: str, *_: object) -> None:
    pulse.advance(doing)
