"""``stowage rollout``: let a new version take over in steps, by what is written into the state database."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from cluster.actor import actor
from cluster.config.serve_config import ServeConfig, load_config
from cluster.live.dashboard import DEFAULT_ADDRESS, Dashboard, read_token
from cluster.rollout_course import Course, check_side_by_side, check_up, choose_course
from cluster.rollout_options import (
    DEFAULT_CONFIG,
    DEFAULT_ERROR_RATE,
    DEFAULT_HOLD,
    DEFAULT_STEPS,
    DEFAULTS,
    AnyModelArgument,
    DashboardOption,
    ErrorRateOption,
    ForceOption,
    HoldOption,
    LatencyRatioOption,
    MaxWaitOption,
    MinRequestsOption,
    ModelArgument,
    RolloutConfigOption,
    RolloutStateOption,
    StepsOption,
    ToOption,
    read_plan,
)
from cluster.state_location import open_state
from cluster.stored import known_versions
from cluster.terminal.options import AtOption, JsonOption, ReplicaCount
from cluster.terminal.render import print_json, print_table
from deployments.routing.rollout import RolloutAction, overrides

if TYPE_CHECKING:
    from deployments.state.rollouts import Rollouts


def rollout_commands() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(
        no_args_is_help=True, rich_markup_mode=None, help="Let a new version take over in steps, while it holds."
    )
    for command in (start, status, history, pause, resume, abort, rollback, clear):
        group.command(command.__name__)(command)
    return group


def start(
    model: ModelArgument,
    *,
    to: ToOption,
    steps: StepsOption = DEFAULT_STEPS,
    hold: HoldOption = DEFAULT_HOLD,
    max_error_rate: ErrorRateOption = DEFAULT_ERROR_RATE,
    max_latency_ratio: LatencyRatioOption = DEFAULTS.max_latency_ratio,
    min_requests: MinRequestsOption = DEFAULTS.min_requests,
    max_wait: MaxWaitOption = None,
    at: AtOption = ReplicaCount.MIN,
    state: RolloutStateOption = None,
    config: RolloutConfigOption = DEFAULT_CONFIG,
    address: DashboardOption = DEFAULT_ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Send a share of a model's requests to another version, and more of them in each step that it holds.

    It goes back by itself, at once, when the new version surely fails more often than it may or than the old one,
    or surely takes longer. Both must be up, and fit side by side on the live nodes as the configuration has them.
    """
    plan = read_plan(steps, hold, max_error_rate, max_latency_ratio, min_requests, max_wait)
    loaded = load_config(config)
    with _opened(state, config) as rollouts:
        course = _course(rollouts, loaded, model, to, _dashboard(address), at)
        rollouts.start(*course, plan, actor())
        _show(rollouts, [course.route], as_json=as_json)


def status(
    model: AnyModelArgument = None,
    state: RolloutStateOption = None,
    config: RolloutConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show where rollouts are, what each waits for, and the numbers of its step; those that are over as long as
    they override the configuration."""
    with _opened(state, config) as rollouts:
        known = [rollout.route for rollout, _ in rollouts.current()]
        names = [_public_name(model, state, config)] if model else known
        _show(rollouts, names, as_json=as_json)


def history(
    model: ModelArgument,
    state: RolloutStateOption = None,
    config: RolloutConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show every change of every rollout of a model: when, by whom, why, and on what numbers."""
    from cluster.rollout_rows import HISTORY_COLUMNS, history_json, history_row  # noqa: PLC0415  as in _opened

    name = _public_name(model, state, config)
    with _opened(state, config) as rollouts:
        found = rollouts.history(name)
    if as_json:
        print_json([history_json(rollout, events) for rollout, events in found])
    elif found:
        print_table(
            HISTORY_COLUMNS, [history_row(rollout, event) for rollout, events in found for event in events]
        )
    else:
        typer.echo(f"no rollout of {name}")


def pause(
    model: ModelArgument,
    state: RolloutStateOption = None,
    config: RolloutConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Stay in this step. Requests are divided and counted as before; it still goes back if it must."""
    _act(model, RolloutAction.PAUSE, state, config, as_json=as_json)


def resume(
    model: ModelArgument,
    state: RolloutStateOption = None,
    config: RolloutConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Go on after a pause, with the time that the step was held before it."""
    _act(model, RolloutAction.RESUME, state, config, as_json=as_json)


def abort(
    model: ModelArgument,
    *,
    force: ForceOption = False,
    state: RolloutStateOption = None,
    config: RolloutConfigOption = DEFAULT_CONFIG,
    address: DashboardOption = DEFAULT_ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """End a rollout that is under way: all requests go to the old version, within about a second."""
    _act(model, RolloutAction.ABORT, state, config, None if force else address, as_json=as_json)


def rollback(
    model: ModelArgument,
    *,
    force: ForceOption = False,
    state: RolloutStateOption = None,
    config: RolloutConfigOption = DEFAULT_CONFIG,
    address: DashboardOption = DEFAULT_ADDRESS,
    as_json: JsonOption = False,
) -> None:
    """Send all requests to the old version, within about a second: also after the rollout was done."""
    _act(model, RolloutAction.ROLL_BACK, state, config, None if force else address, as_json=as_json)


def clear(
    model: ModelArgument,
    state: RolloutStateOption = None,
    config: RolloutConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Forget a rollout that is over: the configuration decides again where requests go."""
    _act(model, RolloutAction.CLEAR, state, config, as_json=as_json)


def _act(
    model: str,
    action: RolloutAction,
    state: str | None,
    config: Path,
    address: str | None = None,
    *,
    as_json: bool,
) -> None:
    """``address`` of the dashboard that tells whether the old version is up; None: it is not asked."""
    name = _public_name(model, state, config)
    with _opened(state, config) as rollouts:
        if address is not None:
            check_up(rollouts.find(name).old, _dashboard(address).versions())
        changed = rollouts.act(name, action, actor())
        if changed.in_force:
            _show(rollouts, [name], as_json=as_json)
        elif as_json:
            print_json([])
        else:
            typer.echo(f"The configuration decides again where requests to {name} go.")


def _course(
    rollouts: Rollouts, config: ServeConfig, model: str, to: str, dashboard: Dashboard, at: ReplicaCount
) -> Course:
    pinned = overrides(rollout for rollout, _ in rollouts.current())
    course = choose_course(config.policy, model, to, pinned, dashboard.versions())
    with known_versions(Console(stderr=True)) as find:
        check_side_by_side(config, course, dashboard.nodes(), find, at)
    return course


def _show(rollouts: Rollouts, names: Sequence[str], *, as_json: bool) -> None:
    from cluster.rollout_rows import STATUS_COLUMNS, status_json, status_note, status_row  # noqa: PLC0415  as in _opened

    now = time.time()
    found = [(rollout, stats) for rollout, stats in rollouts.current() if rollout.route in names]
    if as_json:
        print_json([status_json(rollout, stats, now) for rollout, stats in found])
    elif found:
        print_table(STATUS_COLUMNS, [status_row(rollout, stats, now) for rollout, stats in found])
        typer.echo("\n".join(["", *(status_note(rollout, stats, now) for rollout, stats in found)]))
    else:
        typer.echo("no rollouts")


def _public_name(model: str, state: str | None, config: Path) -> str:
    """The name that ``model`` stands for; with ``--state`` as it is typed, so that no file is in the way."""
    return model if state else load_config(config).policy.unalias(model)


@contextmanager
def _opened(state: str | None, config: Path) -> Iterator[Rollouts]:
    from deployments.state.rollouts import Rollouts  # noqa: PLC0415  only what works on them waits for SQLAlchemy

    with open_state(state, None if state else config) as database:
        yield Rollouts(database)


def _dashboard(address: str) -> Dashboard:
    return Dashboard(address, read_token(os.environ, Path.home()))
