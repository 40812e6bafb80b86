"""What a process has to do in each step, beside computing the layers that it has."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from models.parallel.layout import Shard
from models.spec import Limits

# A step of fewer tokens is not worth its overhead: the least that ``limits.max_batch_tokens`` may be.
_FEWEST_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Role:
    """``num_batches`` are under way at once, one in each stage. Who ``leads`` prepares them and samples.

    ``tensor`` ranks have a slice of the head each, where this one ``has_head``.
    """

    num_batches: int = 1
    leads: bool = True
    has_head: bool = True
    tensor: int = 1

    @property
    def is_alone(self) -> bool:
        """Whether there is no other rank."""
        return self.tensor == 1 and self.num_batches == 1

    @property
    def num_messages(self) -> int:
        """Hidden states that a stage holds to pass them on: those that came, and those that go."""
        return 2 if self.num_batches > 1 else 0

    def step_limits(self, limits: Limits) -> Limits:
        """Of one batch: its share of the tokens and sequences of a step."""
        if self.num_batches == 1:
            return limits
        share = {
            "max_num_seqs": ceil(limits.max_num_seqs / self.num_batches),
            "max_batch_tokens": max(_FEWEST_TOKENS, ceil(limits.max_batch_tokens / self.num_batches)),
        }
        return limits.model_copy(update=share)


ALONE = Role()


def role_of(shard: Shard) -> Role:
    """Rank 0 leads."""
    return Role(shard.degree.pipeline, leads=shard.rank == 0, has_head=shard.is_last, tensor=shard.degree.tensor)
