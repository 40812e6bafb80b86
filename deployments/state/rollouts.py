"""Rollouts in the state database: what people do to them, and what happens to them by itself."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import Connection

from deployments.routing.rollout import (
    UNDER_WAY,
    Rollout,
    RolloutAction,
    RolloutPlan,
    begin,
    change,
    watch,
)
from deployments.routing.rollout_decision import Decision, evaluate
from deployments.routing.rollout_findings import StepStats
from deployments.state.database import Database
from deployments.state.rollout_counts import read_stats
from deployments.state.rollout_rows import (
    Cause,
    RolloutEvent,
    insert_rollout,
    read_history,
    read_in_force,
    retire,
    save,
    save_down_since,
    take_turn,
)
from models.errors import InvalidRequestError
from models.types import VersionId

ROUTER = "router"
"""Who does what happens by itself."""


class Rollouts:
    """Blocking. Nothing of a rollout is in memory: any number of these, in any processes, agree.

    Each change is a transaction, with its event and a new revision. ``actor``: who makes it, as ``cli:ann``.
    """

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._now = now

    def start(self, route: str, old: VersionId, new: VersionId, plan: RolloutPlan, actor: str) -> Rollout:
        """A rollout in its first step. InvalidRequestError when one of this route is under way."""
        now = self._now()
        rollout = begin(route, old, new, plan, now)
        with self._database.transaction() as connection:
            take_turn(connection)
            for before in _of_route(connection, route):
                _check_over(before)
                retire(connection, before)
            return insert_rollout(connection, rollout, Cause(actor, RolloutAction.START, now))

    def act(self, route: str, action: RolloutAction, actor: str) -> Rollout:
        """What a person does to the rollout that is in force. InvalidRequestError when there is none, or when
        its state does not allow ``action``.
        """
        now = self._now()
        with self._database.transaction() as connection:
            take_turn(connection)
            before = _find(connection, route)
            after = change(before, action, now, f"{action} by {actor}")
            save(connection, before, after, Cause(actor, action, now))
        return after

    def current(self) -> tuple[tuple[Rollout, StepStats], ...]:
        """Those in force, by route, each with the numbers of its step."""
        with self._database.read() as connection:
            return tuple((rollout, read_stats(connection, rollout)) for rollout in read_in_force(connection))

    def find(self, route: str) -> Rollout:
        """The one of ``route`` that is in force. InvalidRequestError when there is none."""
        with self._database.read() as connection:
            return _find(connection, route)

    def history(self, route: str) -> list[tuple[Rollout, list[RolloutEvent]]]:
        """Every rollout that the route ever had, oldest first, and what happened to it."""
        with self._database.read() as connection:
            return read_history(connection, route)

    def tick(self, is_up: Callable[[VersionId], bool]) -> tuple[Rollout, ...]:
        """Let every rollout go on or back that should; gives those that are in force then.

        To be called about once per second, by every router replica. ``is_up``: whether a version can take all
        requests. Reads only, as long as nothing changes.
        """
        now = self._now()
        with self._database.read() as connection:
            rollouts = read_in_force(connection)
            under_way = [(each, read_stats(connection, each)) for each in rollouts if each.state in UNDER_WAY]
        changed = [self._look_after(rollout, stats, now, is_up) for rollout, stats in under_way]
        return self.in_force() if any(changed) else rollouts

    def in_force(self) -> tuple[Rollout, ...]:
        """Those that decide where requests go now."""
        with self._database.read() as connection:
            return read_in_force(connection)

    def _look_after(
        self, before: Rollout, stats: StepStats, now: float, is_up: Callable[[VersionId], bool]
    ) -> bool:
        """Whether there was something to do."""
        old_is_up = is_up(before.old)
        rollout = watch(before, now, old_is_up=old_is_up, new_is_up=is_up(before.new))
        if rollout != before:
            with self._database.transaction() as connection:
                save_down_since(connection, rollout)
        return self._carry_out(rollout, evaluate(rollout, stats, now, old_is_up=old_is_up), now)

    def _carry_out(self, rollout: Rollout, decision: Decision, now: float) -> bool:
        """Whether there was something to do. If another replica has done it meanwhile, that is just as well."""
        if decision.action is None:
            return False
        after = change(rollout, decision.action, now, decision.why)
        with self._database.transaction() as connection:
            take_turn(connection)
            save(connection, rollout, after, Cause(ROUTER, decision.action, now, decision.numbers))
        return True


def _of_route(connection: Connection, route: str) -> list[Rollout]:
    return [rollout for rollout in read_in_force(connection) if rollout.route == route]


def _find(connection: Connection, route: str) -> Rollout:
    found = _of_route(connection, route)
    if not found:
        raise InvalidRequestError(
            f"no rollout of {route!r} is in force",
            remedy="`stowage rollout status` shows those that are, each by the name to give",
        )
    return found[0]


def _check_over(rollout: Rollout) -> None:
    if rollout.state in UNDER_WAY:
        raise InvalidRequestError(
            f"a rollout of {rollout.route!r} from {rollout.old} to {rollout.new} is {rollout.state} already",
            remedy=f"wait for it, or end it: stowage rollout abort {rollout.route}",
        )
