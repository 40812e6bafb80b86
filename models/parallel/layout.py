"""Which rank of a group holds what: the words, and the arithmetic of ranks, stages and layers. Torch-free.

A group of ``tensor x pipeline`` ranks serves one replica. A stage is a run of consecutive layers; the ``tensor``
ranks of a stage hold a slice of each of its matrices. Rank 0 leads: it schedules, holds the last stage (with the
head, so that the next tokens are chosen where they are needed) and sends their ids to the first stage. Ranks are
numbered from the last stage on, then from the first: with 2 x 3 ranks 0 and 1 hold stage 2, ranks 2 and 3 stage 0,
ranks 4 and 5 stage 1.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Degree:
    """Tensor and pipeline parallel size."""

    tensor: int = 1
    pipeline: int = 1

    @property
    def num_ranks(self) -> int:
        return self.tensor * self.pipeline

    @property
    def in_one_part(self) -> Degree:
        """As many ranks, all of which have to lie on one node, as otherwise only those of a stage."""
        return Degree(self.num_ranks)

    def __str__(self) -> str:
        return f"tensor {self.tensor} x pipeline {self.pipeline}"


@dataclass(frozen=True, slots=True)
class Shard:
    """What one rank holds: of the layers from ``first_layer`` up to ``stop_layer``, slice ``tensor_index``.

    ``stage`` 0 holds the embedding, the last one the final norm and the head.
    """

    rank: int
    stage: int
    tensor_index: int
    first_layer: int
    stop_layer: int
    degree: Degree

    @property
    def num_layers(self) -> int:
        return self.stop_layer - self.first_layer

    @property
    def is_first(self) -> bool:
        return self.stage == 0

    @property
    def is_last(self) -> bool:
        return self.stage == self.degree.pipeline - 1

    def __str__(self) -> str:
        layers = f"layers {self.first_layer}-{self.stop_layer - 1}"
        return (
            layers if self.degree.tensor == 1 else f"{layers}, slice {self.tensor_index + 1}/{self.degree.tensor}"
        )


@dataclass(frozen=True, slots=True)
class GroupLayout:
    """How a group divides a model. ``stops``: for each stage the layer after its last one."""

    degree: Degree
    stops: tuple[int, ...]

    def __post_init__(self) -> None:
        starts = (0, *self.stops[:-1])
        empty = any(start >= stop for start, stop in zip(starts, self.stops, strict=True))
        if len(self.stops) != self.degree.pipeline or empty:
            raise ValueError(f"stages that end at {self.stops} are no {self.degree.pipeline} runs of layers")

    @property
    def num_ranks(self) -> int:
        return self.degree.num_ranks

    def shard(self, rank: int) -> Shard:
        """What ``rank`` holds."""
        block, tensor_index = divmod(rank, self.degree.tensor)
        stage = (block - 1) % self.degree.pipeline
        first_layer = self.stops[stage - 1] if stage else 0
        return Shard(rank, stage, tensor_index, first_layer, self.stops[stage], self.degree)

    def rank(self, stage: int, tensor_index: int) -> int:
        """Who holds the slice of the stage."""
        return (stage + 1) % self.degree.pipeline * self.degree.tensor + tensor_index

    def ranks_of(self, stage: int) -> tuple[int, ...]:
        """Those that hold the stage, by slice."""
        return tuple(self.rank(stage, index) for index in range(self.degree.tensor))
