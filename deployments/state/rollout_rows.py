"""Rollouts as rows, and every change of one with what there is to say of it, once however many try it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue, TypeAdapter, ValidationError
from sqlalchemy import Connection, Row, Select, delete, insert, select, update

from deployments.routing.rollout import UNDER_WAY, Rollout, RolloutAction, RolloutPlan, RolloutState
from deployments.routing.rollout_findings import Numbers
from deployments.state.admin_events import note_change
from deployments.state.revisions import Topic, bump
from deployments.state.schema import REVISIONS, ROLLOUT_COUNTS, ROLLOUT_EVENTS, ROLLOUTS
from models.errors import StateError
from models.types import VersionId

_NUMBERS: TypeAdapter[Numbers | None] = TypeAdapter(Numbers | None)


@dataclass(frozen=True, slots=True)
class RolloutEvent:
    """One change: who made it, why, and the numbers that it rests on where it was the evaluation."""

    time: float
    actor: str
    action: RolloutAction
    from_step: int
    to_step: int
    state: RolloutState
    why: str
    numbers: Numbers | None


@dataclass(frozen=True, slots=True)
class Cause:
    """Who changes a rollout, when, and on what numbers."""

    actor: str
    action: RolloutAction
    time: float
    numbers: Numbers | None = None


def take_turn(connection: Connection) -> None:
    """Wait until nobody else changes rollouts. The turn ends with the transaction."""
    connection.execute(select(REVISIONS).where(REVISIONS.c.topic == Topic.ROLLOUTS).with_for_update())


def read_in_force(connection: Connection) -> tuple[Rollout, ...]:
    """The rollouts that decide where requests go: at most one for each route, sorted by it."""
    return _read(connection, select(ROLLOUTS).where(ROLLOUTS.c.in_force).order_by(ROLLOUTS.c.route))


def read_under_way(connection: Connection) -> tuple[Rollout, ...]:
    """Those that are running or paused."""
    return tuple(rollout for rollout in read_in_force(connection) if rollout.state in UNDER_WAY)


def read_history(connection: Connection, route: str) -> list[tuple[Rollout, list[RolloutEvent]]]:
    """Every rollout of the route, oldest first, each with its events in order."""
    rollouts = _read(connection, select(ROLLOUTS).where(ROLLOUTS.c.route == route).order_by(ROLLOUTS.c.id))
    return [(rollout, _events(connection, rollout)) for rollout in rollouts]


def insert_rollout(connection: Connection, rollout: Rollout, cause: Cause) -> Rollout:
    """A new one, under the id that it gets."""
    values = {name: value for name, value in _columns(rollout).items() if name != "id"}
    id_ = connection.execute(insert(ROLLOUTS).values(values).returning(ROLLOUTS.c.id)).scalar_one()
    inserted = dataclasses.replace(rollout, id=id_)
    _note(connection, inserted, inserted, cause)
    return inserted


def save(connection: Connection, before: Rollout, after: Rollout, cause: Cause) -> None:
    """From ``before`` to ``after``; nothing, when somebody else has changed the rollout since it was so."""
    unchanged = (ROLLOUTS.c.id == before.id) & (ROLLOUTS.c.revision == before.revision)
    if connection.execute(update(ROLLOUTS).where(unchanged).values(_columns(after))).rowcount == 1:
        _note(connection, before, after, cause)
        if not after.in_force:
            _forget_counts(connection, after)


def save_down_since(connection: Connection, rollout: Rollout) -> None:
    """No change of the rollout itself, so without an event; nothing, when there was one since it was read."""
    unchanged = (ROLLOUTS.c.id == rollout.id) & (ROLLOUTS.c.revision == rollout.revision)
    connection.execute(update(ROLLOUTS).where(unchanged).values(down_since=rollout.down_since))


def retire(connection: Connection, rollout: Rollout) -> None:
    """Another one of its route takes its place."""
    connection.execute(update(ROLLOUTS).where(ROLLOUTS.c.id == rollout.id).values(in_force=False))
    _forget_counts(connection, rollout)


def _forget_counts(connection: Connection, rollout: Rollout) -> None:
    """What its events tell stays."""
    connection.execute(delete(ROLLOUT_COUNTS).where(ROLLOUT_COUNTS.c.rollout == rollout.id))


def _note(connection: Connection, before: Rollout, after: Rollout, cause: Cause) -> None:
    event = {
        "rollout": after.id,
        "time": cause.time,
        "actor": cause.actor,
        "action": cause.action.value,
        "from_step": before.step,
        "to_step": after.step,
        "state": after.state.value,
        "why": after.why,
        "numbers": _NUMBERS.dump_python(cause.numbers, mode="json"),
    }
    connection.execute(insert(ROLLOUT_EVENTS).values(event))
    details: dict[str, JsonValue] = {
        "old": str(after.old),
        "new": str(after.new),
        "percent": after.percent,
        "state": after.state.value,
        "why": after.why,
    }
    action = f"rollout.{cause.action}"
    note_change(
        connection, time=cause.time, actor=cause.actor, action=action, subject=after.route, details=details
    )
    bump(connection, Topic.ROLLOUTS)


def _read(connection: Connection, query: Select[Any]) -> tuple[Rollout, ...]:
    return tuple(map(_rollout, connection.execute(query)))


def _events(connection: Connection, rollout: Rollout) -> list[RolloutEvent]:
    query = select(ROLLOUT_EVENTS).where(ROLLOUT_EVENTS.c.rollout == rollout.id).order_by(ROLLOUT_EVENTS.c.id)
    return [_event(row) for row in connection.execute(query)]


def _columns(rollout: Rollout) -> dict[str, object]:
    values = {field.name: getattr(rollout, field.name) for field in dataclasses.fields(rollout)}
    plan, state = rollout.plan.model_dump(mode="json"), rollout.state.value
    return {**values, "old": str(rollout.old), "new": str(rollout.new), "plan": plan, "state": state}


def _rollout(row: Row[Any]) -> Rollout:
    columns = dict(row._mapping)
    try:
        typed = {
            "old": VersionId.parse(row.old),
            "new": VersionId.parse(row.new),
            "plan": RolloutPlan.model_validate(row.plan),
            "state": RolloutState(row.state),
        }
    except (ValidationError, ValueError) as error:
        raise StateError(
            f"rollout {row.id} of {row.route!r} holds what this release does not know",
            remedy="use the release that started it, or a newer one",
        ) from error
    return Rollout(**{**columns, **typed})


def _event(row: Row[Any]) -> RolloutEvent:
    return RolloutEvent(
        time=row.time,
        actor=row.actor,
        action=RolloutAction(row.action),
        from_step=row.from_step,
        to_step=row.to_step,
        state=RolloutState(row.state),
        why=row.why,
        numbers=_NUMBERS.validate_python(row.numbers),
    )
