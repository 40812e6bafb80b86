"""What generation asks for: places for sequences, tokens of the KV cache, and time to read prompts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from deployments.scaling.decision import Need
from deployments.scaling.forecast import Look, follow
from deployments.scaling.load import Load
from deployments.scaling.memory import Memory
from deployments.scaling.offered import Offered
from deployments.scaling.orders import served_s
from deployments.scaling.requests import Requests, left_of, requests_of
from deployments.scaling.settings import ScalingSettings
from deployments.scaling.staffing import backlog, busy_share, spare, staff

_NO_CHANCE = 3.0
# Of the time that a start takes: who has waited for that may wait a little longer.
_DRAIN = 0.25


@dataclass(frozen=True, slots=True)
class _Demand:
    """In ``cold_start_s``: ``places`` are taken on the average, as long as no prompt is read, with the standard
    deviation ``error``, and for ``waiting`` requests more there is none. ``reading``: the replicas that are kept
    busy reading prompts.
    """

    places: float
    error: float
    waiting: float
    reading: float = 0.0

    def left(self, num_replicas: int) -> float:
        """The share of their time that reading leaves so many replicas."""
        return left_of(self.reading / num_replicas)


def generation_needs(
    load: Load, offered: Offered, settings: ScalingSettings, memory: Memory
) -> tuple[tuple[Need, ...], Memory]:
    """By Little's law the requests in engines are the arrivals per second times the seconds of each.

    What will have piled up by the time that a replica takes part that is decided on now wants a place too, for as
    long as it takes, or is worked off within ``drain_s`` where places are free again sooner than that.
    """
    mean, memory = requests_of(load, offered, settings, memory)
    demand, memory = _demand(load, offered, mean, memory)
    drain_s = max(settings.queue_s, _DRAIN * load.cold_start_s)
    turns = 1.0 if mean.bare_s is None else min(1.0, mean.bare_s / drain_s)
    needs = [_sequences(offered, demand, mean, settings, turns)]
    if mean.max_tokens and mean.tokens:
        needs.append(_tokens(offered, demand, mean, settings, turns))
    if mean.bare_s and mean.prompt_s:
        needs.append(_reading(demand, mean, settings, drain_s))
    return tuple(needs), memory


def _demand(load: Load, offered: Offered, mean: Requests, memory: Memory) -> tuple[_Demand, Memory]:
    """While nothing has ended yet, nothing is known but how many there are."""
    if not mean.bare_s:
        return _Demand(offered.num_running, 0.0, offered.num_waiting), memory
    look = Look(
        now=load.now,
        elapsed_s=memory.since_s(load.now),
        arrivals_per_s=offered.arrivals_per_s,
        window_s=load.routers.window_s,
        service_s=mean.bare_s,
        ahead_s=load.cold_start_s,
    )
    past = follow(memory.past, look)
    reading = past.rate * (mean.prompt_s or 0.0)
    now_left = left_of(reading / max(1, load.num_ready))
    places = past.rate * mean.bare_s
    if offered.num_running * now_left > places + _NO_CHANCE * math.sqrt(places):
        places = offered.num_running * now_left
    served = mean.served_per_s * served_s(memory.orders, load.num_ready, load.now, load.cold_start_s)
    waiting = backlog(offered.num_waiting, past.rate * load.cold_start_s, served)
    return _Demand(places, math.sqrt(past.error), waiting, reading), replace(memory, past=past)


def _sequences(offered: Offered, demand: _Demand, mean: Requests, settings: ScalingSettings, turns: float) -> Need:
    amount = demand.places + spare(demand.places, 1.0, demand.error, settings.headroom) + demand.waiting * turns
    words = (
        f"{offered.num_running:.0f} requests running, {offered.num_waiting:.0f} waiting and "
        f"{offered.arrivals_per_s:.3g} a second coming want {amount:.0f} places, "
        f"of {mean.max_num_seqs:.0f} a replica"
    )
    return staff("sequences", amount, lambda number: mean.max_num_seqs * demand.left(number), words)


def _tokens(offered: Offered, demand: _Demand, mean: Requests, settings: ScalingSettings, turns: float) -> Need:
    """Lengths are taken to vary as if they were exponential: their mean square is twice the square of the mean.

    As much as one request has is lost at the end of each cache, since the next one does not fit."""
    tokens, max_tokens = mean.tokens or 0.0, mean.max_tokens or math.inf
    load = demand.places * tokens
    room = spare(load, 2 * tokens, demand.error * tokens, settings.headroom)
    amount = load + room + demand.waiting * turns * tokens
    usable = max(max_tokens - tokens, max_tokens / 2)
    words = (
        f"{offered.num_requests:.0f} requests of {tokens:,.0f} tokens in the KV cache, and those to come, want "
        f"{amount:,.0f} tokens of {max_tokens:,.0f} a replica"
    )
    return staff("kv cache", amount, lambda number: usable * demand.left(number), words)


def _reading(demand: _Demand, mean: Requests, settings: ScalingSettings, drain_s: float) -> Need:
    """In replicas that do nothing but read prompts."""
    prompt_s = mean.prompt_s or 0.0
    each = prompt_s / (mean.bare_s or math.inf)
    load = demand.places * each
    room = spare(load, each, demand.error * each, settings.headroom)
    amount = load + room + demand.waiting * prompt_s / drain_s
    words = (
        f"prompts of {mean.prompt_tokens:,.0f} tokens, {demand.places * each / prompt_s:.3g} a second, and "
        f"{demand.waiting:.0f} that will wait, keep {amount:.2g} replicas busy that read "
        f"{mean.read_tokens_per_s:,.0f} tokens a second"
    )
    return staff("reading", amount, lambda number: busy_share(prompt_s, settings.queue_s, number), words)
