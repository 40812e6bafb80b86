"""What generation asks for: places for sequences, tokens of the KV cache, and time to read prompts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from deployments.scaling.decision import Need
from deployments.scaling.load import Load, ReplicaLoad, TokenUse
from deployments.scaling.memory import Memory
from deployments.scaling.offered import Offered
from deployments.scaling.settings import ScalingSettings
from deployments.scaling.smoothing import drift
from deployments.scaling.staffing import backlog, busy_share, replicas_for, spare

# Requests end one by one, so the time of one is a mean over many; and what an engine can read changes rarely.
_SERVICE_OVER_S = 60.0
_READING_OVER_S = 600.0


@dataclass(frozen=True, slots=True)
class _Engine:
    """The mean replica, and the mean request: ``service_s`` in an engine, ``tokens`` in its KV cache."""

    max_num_seqs: float
    max_tokens: float | None
    service_s: float | None
    tokens: float
    prompt_tokens: float
    read_tokens_per_s: float | None

    @property
    def places(self) -> float:
        """How many such requests one replica runs at once."""
        if not self.max_tokens or not self.tokens:
            return self.max_num_seqs
        return min(self.max_num_seqs, self.max_tokens / self.tokens)


def generation_needs(
    load: Load, offered: Offered, settings: ScalingSettings, memory: Memory
) -> tuple[tuple[Need, ...], Memory]:
    """By Little's law the requests in engines are the arrivals per second times the seconds of each.

    What will have piled up by the time that a replica takes part that is decided on now wants a place too, for as
    long as it takes, or is worked off within ``queue_s`` where places are free again sooner than that.
    """
    service_s = _service_s(load, offered, memory)
    read_tokens_per_s = _read_tokens_per_s(load, offered, memory)
    engine = _engine(offered, settings, service_s, read_tokens_per_s)
    places = offered.num_running
    waiting = offered.num_waiting
    turns = 1.0
    if service_s:
        places = max(places, offered.arrivals_per_s * service_s)
        served_per_s = (load.num_ready + load.target) / 2 * engine.places / service_s
        waiting = backlog(waiting, offered.arrivals_per_s, served_per_s, load.cold_start_s)
        turns = min(1.0, service_s / settings.queue_s)
    needs = [_sequences(offered, engine, settings, places, waiting * turns)]
    if engine.max_tokens and engine.tokens:
        needs.append(_tokens(offered, engine, settings, places, waiting * turns))
    if read_tokens_per_s and engine.prompt_tokens:
        needs.append(_reading(load, offered, engine, settings, waiting))
    return tuple(needs), replace(memory, service_s=service_s, read_tokens_per_s=read_tokens_per_s)


def _sequences(
    offered: Offered, engine: _Engine, settings: ScalingSettings, places: float, waiting: float
) -> Need:
    amount = places + spare(places, 1.0, settings.headroom) + waiting
    words = (
        f"{offered.num_running:.0f} requests running, {offered.num_waiting:.0f} waiting and "
        f"{offered.arrivals_per_s:.3g} a second coming want {amount:.0f} places "
        f"of {engine.max_num_seqs:.0f} a replica"
    )
    return Need("sequences", amount, engine.max_num_seqs, replicas_for(amount, engine.max_num_seqs), words)


def _tokens(offered: Offered, engine: _Engine, settings: ScalingSettings, places: float, waiting: float) -> Need:
    max_tokens = engine.max_tokens or math.inf
    held = sum(use.held_tokens for use in _uses(offered.fresh))
    load = max(held, places * engine.tokens)
    amount = load + spare(load, engine.tokens, settings.headroom) + waiting * engine.tokens
    words = (
        f"{held:,.0f} tokens in KV caches, of {offered.num_requests:.0f} requests, and those to come "
        f"want {amount:,.0f} of {max_tokens:,.0f} a replica"
    )
    return Need("kv cache", amount, max_tokens, replicas_for(amount, max_tokens), words)


def _reading(load: Load, offered: Offered, engine: _Engine, settings: ScalingSettings, waiting: float) -> Need:
    speed = engine.read_tokens_per_s or math.inf
    tokens_per_s = max(load.routers.arrived_tokens_per_s, offered.arrivals_per_s * engine.prompt_tokens)
    amount = tokens_per_s + waiting * engine.prompt_tokens / settings.queue_s
    share = busy_share(engine.prompt_tokens / speed, settings.queue_s)
    per_replica = share * speed
    words = (
        f"{amount:,.0f} prompt tokens a second are to be read, of {speed:,.0f} a second that a "
        f"replica reads, {share:.0%} of the time"
    )
    return Need("reading", amount, per_replica, replicas_for(amount, per_replica), words)


def _engine(
    offered: Offered, settings: ScalingSettings, service_s: float | None, read_tokens_per_s: float | None
) -> _Engine:
    uses = _uses(offered.fresh)
    running = sum(replica.num_running for replica in offered.fresh if replica.tokens)
    held = sum(use.held_tokens for use in uses)
    prompts = [use.prompt_tokens for use in uses if use.prompt_tokens is not None]
    prompt_tokens = fmean(prompts) if prompts else 0.0
    sizes = [replica.max_num_seqs for replica in offered.fresh] or [settings.max_num_seqs]
    caches = [use.max_tokens for use in uses]
    max_tokens = fmean(caches) if caches else settings.max_tokens
    return _Engine(
        max_num_seqs=fmean(sizes),
        max_tokens=max_tokens,
        service_s=service_s,
        tokens=held / running if running else prompt_tokens,
        prompt_tokens=prompt_tokens,
        read_tokens_per_s=read_tokens_per_s,
    )


def _uses(reports: Sequence[ReplicaLoad]) -> list[TokenUse]:
    return [replica.tokens for replica in reports if replica.tokens is not None]


def _service_s(load: Load, offered: Offered, memory: Memory) -> float | None:
    """The running mean of the time in an engine: of the time in a replica, the part of those that do not wait."""
    told = [replica for replica in offered.fresh if replica.service_s is not None and replica.finished_per_s > 0]
    finished_per_s = sum(replica.finished_per_s for replica in told)
    if not finished_per_s:
        return memory.service_s
    in_replica_s = sum(replica.finished_per_s * (replica.service_s or 0.0) for replica in told) / finished_per_s
    running = sum(replica.num_running for replica in told)
    inside = running + sum(replica.num_waiting for replica in told)
    now_s = in_replica_s * (running / inside if running else 1.0)
    return drift(memory.service_s, now_s, memory.since_s(load.now), _SERVICE_OVER_S)


def _read_tokens_per_s(load: Load, offered: Offered, memory: Memory) -> float | None:
    """The best of the replicas: the others had more to do at once. A better one counts at once."""
    told = [use.read_tokens_per_s for use in _uses(offered.fresh) if use.read_tokens_per_s]
    best = max(told, default=None)
    if best is None or memory.read_tokens_per_s is None or best > memory.read_tokens_per_s:
        return best or memory.read_tokens_per_s
    return drift(memory.read_tokens_per_s, best, memory.since_s(load.now), _READING_OVER_S)
