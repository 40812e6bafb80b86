"""The engine of rank 0 of a group, by what the model does."""

from __future__ import annotations

from models.engines.base import GroupLeader
from models.engines.group import GroupEngine, Rank
from models.engines.group_embedding import GroupEmbeddingEngine
from models.parallel.pulse import ProgressCounter
from models.progress import Progress
from models.types import Task


def make_leader(rank: Rank, progress: Progress, pulse: ProgressCounter) -> GroupLeader:
    """Blocks until all ranks have loaded. ConfigError when the model cannot be divided so."""
    if rank.manifest.task is Task.EMBED:
        return GroupEmbeddingEngine(rank, progress, pulse)
    return GroupEngine(rank, progress, pulse)
