"""How rollouts look: rows for people, plain values for machines."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

from pydantic import JsonValue, TypeAdapter

from deployments.routing.rollout import UNDER_WAY, Rollout
from deployments.routing.rollout_decision import Decision, evaluate
from deployments.routing.rollout_findings import Numbers, StepStats
from deployments.state.rollout_rows import RolloutEvent

STATUS_COLUMNS = ("model", "from", "to", "state", "share", "step", "held", "old", "new", "latency")
HISTORY_COLUMNS = ("time", "who", "action", "share", "state", "old", "new", "latency", "why")

_ROLLOUT: TypeAdapter[Rollout] = TypeAdapter(Rollout)
_EVENT: TypeAdapter[RolloutEvent] = TypeAdapter(RolloutEvent)


def status_row(rollout: Rollout, stats: StepStats, now: float) -> tuple[str, ...]:
    """One row of STATUS_COLUMNS; ``now`` in seconds since the epoch."""
    decision = _decision(rollout, stats, now)
    return (
        rollout.route,
        str(rollout.old),
        str(rollout.new),
        rollout.state,
        _percent(rollout.weights.get(rollout.new, 0.0)),
        f"{rollout.step + 1}/{len(rollout.plan.steps)}",
        f"{rollout.held_for(now):.0f} of {rollout.plan.hold_s:g} s",
        *_numbers(decision.numbers if decision else None),
    )


def status_note(rollout: Rollout, stats: StepStats, now: float) -> str:
    """Why it is where it is, and what it waits for."""
    decision = _decision(rollout, stats, now)
    why = decision.why if decision else f"{rollout.why}; {override_note(rollout)}"
    return f"{rollout.route}: {why}"


def status_json(rollout: Rollout, stats: StepStats, now: float) -> dict[str, JsonValue]:
    """All that is known of a rollout; times in seconds since the epoch."""
    decision = _decision(rollout, stats, now)
    known: dict[str, JsonValue] = {
        **_ROLLOUT.dump_python(rollout, mode="json"),
        "old": str(rollout.old),
        "new": str(rollout.new),
        "held_s": rollout.held_for(now),
        "weights": {str(version): share for version, share in rollout.weights.items()},
    }
    if decision:
        return {**known, "why": decision.why, "numbers": _plain(decision.numbers)}
    return {**known, "overrides": override_note(rollout)}


def override_note(rollout: Rollout) -> str:
    """Of a rollout that is over and in force: what it does to the configuration, and how that ends."""
    version = next(iter(rollout.weights))
    written = version.version if version.name == rollout.route else str(version)
    route = f'{{{rollout.route}: {{targets: {{"{written}": 1}}}}}}'
    return (
        f"all requests go to {version}, whatever the configuration says: "
        f"write routes: {route}, then `stowage rollout clear {rollout.route}`"
    )


def history_row(rollout: Rollout, event: RolloutEvent) -> tuple[str, ...]:
    """One row of HISTORY_COLUMNS."""
    steps = dict.fromkeys(_percent(rollout.plan.steps[step]) for step in (event.from_step, event.to_step))
    return (
        datetime.fromtimestamp(event.time, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        event.actor,
        event.action,
        " -> ".join(steps),
        event.state,
        *_numbers(event.numbers),
        event.why,
    )


def history_json(rollout: Rollout, events: list[RolloutEvent]) -> dict[str, JsonValue]:
    """One rollout with its events."""
    told = [_EVENT.dump_python(event, mode="json") for event in events]
    return {"id": rollout.id, "old": str(rollout.old), "new": str(rollout.new), "events": told}


def _decision(rollout: Rollout, stats: StepStats, now: float) -> Decision | None:
    """What a router decides now; None of a rollout that is over."""
    return evaluate(rollout, stats, now, old_is_up=True) if rollout.state in UNDER_WAY else None


def _numbers(numbers: Numbers | None) -> tuple[str, str, str]:
    if numbers is None:
        return ("-", "-", "-")
    ratios = "\n".join(f"{name} x{ratio:.2f}" for name, ratio in numbers.latency_ratios.items())
    old = f"{numbers.old_errors} of {numbers.old_requests} failed"
    return (old, f"{numbers.new_errors} of {numbers.new_requests} failed", ratios or "-")


def _plain(numbers: Numbers) -> dict[str, JsonValue]:
    return dataclasses.asdict(numbers)


def _percent(share: float) -> str:
    return f"{share:g}%"
