"""The decision: how many replicas a version is to have."""

from __future__ import annotations

from dataclasses import replace

from deployments.scaling.batch import batch_needs
from deployments.scaling.brakes import Braked, Wishes, bound, remember, stabilise, step
from deployments.scaling.decision import Cause, Decision, Need
from deployments.scaling.generation import generation_needs
from deployments.scaling.load import Load
from deployments.scaling.memory import Memory
from deployments.scaling.offered import Offered, offered
from deployments.scaling.orders import outstanding
from deployments.scaling.schedule import in_force
from deployments.scaling.settings import Kind, ScalingSettings


def decide(load: Load, settings: ScalingSettings, memory: Memory) -> tuple[Decision, Memory]:
    """The replicas that ``load`` wants, and what to remember for the next time.

    Called again with the same load at the same time, it decides the same. Without any fresh report all stays as
    it is, within the bounds.
    """
    seen = offered(load, settings.max_age_s)
    if seen is None:
        unknown = Braked(load.target, Cause.UNKNOWN, f"nobody has told of the load for {settings.max_age_s:g} s")
        return _decision(load, settings, load.target, (), unknown), replace(memory, at=load.now)
    orders = outstanding(memory.orders, load.target - load.num_ready)
    needs, memory = _needs(load, seen, settings, replace(memory, orders=orders))
    wish = max(need.replicas for need in needs)
    if wish < load.target:  # what is wanted less has to be wanted a good deal less
        wish = min(load.target, max(need.keep for need in needs))
    if _has_work(seen):
        wish = max(1, wish)
    elif load.idle_s is not None and load.idle_s >= settings.idle_s:
        wish = 0  # whatever came before
    floor = _idle_floor(load, seen, settings)
    window_s = max(settings.up_window_s, settings.down_window_s)
    before = memory.wishes or ((load.now, load.target),)  # whoever decided on those knew why
    wishes = remember(before, load.now, max(wish, floor), window_s)
    decision = _decision(load, settings, wish, needs, _braked(load, settings, wishes, wish, floor))
    if decision.target > load.target:
        orders = (*orders, (load.now, decision.target - load.target))
    return decision, replace(memory, wishes=wishes, orders=orders, at=load.now)


def _needs(
    load: Load, seen: Offered, settings: ScalingSettings, memory: Memory
) -> tuple[tuple[Need, ...], Memory]:
    if settings.kind is Kind.BATCH:
        return batch_needs(load, seen, settings, memory), memory
    return generation_needs(load, seen, settings, memory)


def _has_work(seen: Offered) -> bool:
    return seen.num_requests > 0 or seen.arrivals_per_s > 0


def _idle_floor(load: Load, seen: Offered, settings: ScalingSettings) -> int:
    """One replica stays until there has been nothing to do for ``idle_s``."""
    if load.target == 0 or _has_work(seen):
        return 0
    return int(load.idle_s is None or load.idle_s < settings.idle_s)


def _braked(load: Load, settings: ScalingSettings, wishes: Wishes, wish: int, floor: int) -> Braked:
    is_idle = wish == 0 and floor == 0
    if is_idle:
        return Braked(0, Cause.IDLE, f"idle for {load.idle_s or 0:.0f} s" if load.target else "nothing to do")
    braked = stabilise(wishes, load.now, load.target, settings.up_window_s, settings.down_window_s)
    if braked.cause is Cause.LOAD and floor > wish:
        rest = "unknown" if load.idle_s is None else f"{load.idle_s:.0f} s"
        braked = Braked(
            floor, Cause.NOT_IDLE, f"idle for {rest}, of {settings.idle_s:g} s before the last one ends"
        )
    return step(braked, load.target, settings.max_step)


def _decision(
    load: Load, settings: ScalingSettings, wish: int, needs: tuple[Need, ...], braked: Braked
) -> Decision:
    window = in_force(settings.schedule, load.now, load.cold_start_s)
    bounded = bound(braked, settings, window)
    most = max(needs, key=lambda need: need.amount / need.per_replica, default=None)
    parts = [most.words if most and wish else "", bounded.words]
    reason = "; ".join(part for part in parts if part)
    return Decision(bounded.replicas, wish, bounded.cause, f"{bounded.replicas}: {reason}", needs, load)
