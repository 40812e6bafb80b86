"""The mean request and the mean replica, as reports tell of them and memory smooths them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from deployments.scaling.load import Load, ReplicaLoad, TokenUse
from deployments.scaling.memory import Memory
from deployments.scaling.offered import Offered
from deployments.scaling.settings import ScalingSettings
from deployments.scaling.smoothing import drift

# Requests end one by one, so what one of them is like is a mean over many; what an engine can do changes rarely.
_OVER_S = 60.0
_READING_OVER_S = 600.0
_LEAST_LEFT = 0.2


@dataclass(frozen=True, slots=True)
class Requests:
    """The mean request: ``tokens`` in the KV cache, ``prompt_tokens``; None: unknown.

    ``bare_s``: its time in an engine that reads no other prompt meanwhile. While one is read the others all but
    wait, so with a replica busy reading for the share r of the time it takes bare_s / (1 - r), as with any server
    whose time is shared.

    The mean replica runs ``max_num_seqs`` of them at once, holds ``max_tokens`` and reads ``read_tokens_per_s``.
    """

    max_num_seqs: float
    max_tokens: float | None
    bare_s: float | None
    tokens: float | None
    prompt_tokens: float | None
    read_tokens_per_s: float | None

    @property
    def places(self) -> float:
        """How many such requests one replica runs at once."""
        if not self.max_tokens or not self.tokens:
            return self.max_num_seqs
        return min(self.max_num_seqs, max(1.0, self.max_tokens / self.tokens))

    @property
    def served_per_s(self) -> float:
        """How many such requests one replica ends in a second when all its places are taken: in the time of one of
        them it reads the prompts of as many as it has places. 0: not known."""
        if not self.bare_s:
            return 0.0
        return self.places / (self.bare_s + self.places * (self.prompt_s or 0.0))

    @property
    def prompt_s(self) -> float | None:
        """How long a replica reads the mean prompt that has nothing else to do."""
        if not self.prompt_tokens or not self.read_tokens_per_s:
            return None
        return self.prompt_tokens / self.read_tokens_per_s


def requests_of(
    load: Load, offered: Offered, settings: ScalingSettings, memory: Memory
) -> tuple[Requests, Memory]:
    """Of the fresh reports, and of the memory where they say nothing."""
    elapsed_s = memory.since_s(load.now)
    fresh = offered.fresh
    uses = [replica.tokens for replica in fresh if replica.tokens is not None]
    memory = replace(
        memory,
        tokens=_smooth(memory.tokens, _tokens(fresh), elapsed_s),
        prompt_tokens=_smooth(memory.prompt_tokens, _prompt_tokens(uses), elapsed_s),
        read_tokens_per_s=_best(memory.read_tokens_per_s, uses, elapsed_s),
    )
    memory = replace(memory, bare_s=_smooth(memory.bare_s, _bare_s(fresh, memory), elapsed_s))
    caches = [use.max_tokens for use in uses]
    mean = Requests(
        max_num_seqs=fmean([replica.max_num_seqs for replica in fresh] or [settings.max_num_seqs]),
        max_tokens=fmean(caches) if caches else settings.max_tokens,
        bare_s=memory.bare_s,
        tokens=memory.tokens,
        prompt_tokens=memory.prompt_tokens,
        read_tokens_per_s=memory.read_tokens_per_s,
    )
    return mean, memory


def _smooth(last: float | None, new: float | None, elapsed_s: float | None) -> float | None:
    return last if new is None else drift(last, new, elapsed_s, _OVER_S)


def _bare_s(fresh: Sequence[ReplicaLoad], memory: Memory) -> float | None:
    """Of the time in a replica, that in its engine, without the reading of others."""
    told = [(each.finished_per_s, each.service_s) for each in fresh if each.service_s is not None]
    finished_per_s = sum(weight for weight, _ in told)
    if not finished_per_s:
        return None
    in_replica_s = sum(weight * service_s for weight, service_s in told) / finished_per_s
    running = sum(replica.num_running for replica in fresh)
    inside = running + sum(replica.num_waiting for replica in fresh)
    prompt_s = (memory.prompt_tokens or 0.0) / (memory.read_tokens_per_s or math.inf)
    left = left_of(finished_per_s * prompt_s / len(fresh))
    return in_replica_s * (running / inside if running else 1.0) * left


def left_of(reading: float) -> float:
    """The share of the time that reading leaves, which takes ``reading`` of it; some is always left."""
    return max(_LEAST_LEFT, 1 - reading)


def _tokens(fresh: Sequence[ReplicaLoad]) -> float | None:
    running = sum(replica.num_running for replica in fresh if replica.tokens)
    held = sum(replica.tokens.held_tokens for replica in fresh if replica.tokens)
    return held / running if running else None


def _prompt_tokens(uses: Sequence[TokenUse]) -> float | None:
    told = [use.prompt_tokens for use in uses if use.prompt_tokens is not None]
    return fmean(told) if told else None


def _best(last: float | None, uses: Sequence[TokenUse], elapsed_s: float | None) -> float | None:
    """The best of the replicas: the others had more to do at once. A better one counts at once."""
    best = max((use.read_tokens_per_s for use in uses if use.read_tokens_per_s), default=None)
    if best is None or last is None or best > last:
        return best or last
    return drift(last, best, elapsed_s, _READING_OVER_S)
