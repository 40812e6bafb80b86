"""A push: read what a Grafana has, decide, then do all of it or nothing."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.grafana.problems import GrafanaError
from cluster.grafana.wanted import DataSource, Rendered, SourceChange, Step, decide, decide_source

if TYPE_CHECKING:
    from cluster.grafana.client import Grafana

# What Grafana numbers by itself.
_ITS_OWN = ("id", "version")


@dataclass(frozen=True, slots=True)
class SourceStep:
    """What is to be done about the data source."""

    wanted: DataSource
    stored: DataSource | None
    change: SourceChange


@dataclass(frozen=True, slots=True)
class Push:
    """``folder_uid`` is None for a folder that has to be created; ``source`` where none was asked for."""

    folder: str
    folder_uid: str | None
    steps: tuple[Step, ...]
    source: SourceStep | None

    @property
    def is_needed(self) -> bool:
        changed = self.source is not None and self.source.change in (SourceChange.CREATE, SourceChange.UPDATE)
        return changed or any(step.is_needed for step in self.steps)

    def check(self) -> None:
        """GrafanaError where something of it cannot be done, or would undo what somebody did."""
        refused = [f"{step.wanted.title}: {step}" for step in self.steps if step.is_refused]
        if refused:
            remedy = "look at `stowage dashboards diff`; --force overwrites what was edited by hand, not files"
            raise GrafanaError(f"nothing was pushed: {'; '.join(refused)}", remedy=remedy)
        if self.source is not None and self.source.stored is not None:
            _check_source(self.source.wanted, self.source.stored, self.source.change)


def prepare(
    grafana: Grafana, folder: str, rendered: Iterable[Rendered], source: DataSource | None, *, force: bool
) -> Push:
    """Reads and changes nothing."""
    folder_uid = grafana.folder(folder)
    steps = compare(grafana, rendered, folder_uid, force=force)
    if source is None:
        return Push(folder, folder_uid, steps, None)
    stored = grafana.data_source(source.name)
    return Push(folder, folder_uid, steps, SourceStep(source, stored, decide_source(source, stored, force=force)))


def compare(
    grafana: Grafana, rendered: Iterable[Rendered], folder_uid: str | None = None, *, force: bool = False
) -> tuple[Step, ...]:
    """What would have to be done about each dashboard."""
    return tuple(decide(each, grafana.dashboard(each.uid), folder_uid, force=force) for each in rendered)


def carry_out(grafana: Grafana, push: Push) -> None:
    """GrafanaError where Grafana refuses a part of it: what came before that stays, and the next push goes on."""
    push.check()
    if not push.is_needed:
        return
    folder_uid = push.folder_uid or grafana.create_folder(push.folder)
    if push.source is not None and push.source.change is not SourceChange.NONE:
        grafana.save_data_source(push.source.wanted, push.source.stored)
    for step in push.steps:
        if step.is_needed:
            grafana.save(step.wanted, folder_uid, step.stored)


def differences(grafana: Grafana, steps: Sequence[Step]) -> str:
    """From what each dashboard is to what it should be, as a unified diff; empty where nothing differs."""
    return "".join(_difference(grafana, step) for step in steps)


def _difference(grafana: Grafana, step: Step) -> str:
    before = "" if step.stored is None else _plain(grafana.content(step.wanted.uid))
    after = _plain(json.loads(step.wanted.text))
    lines = difflib.unified_diff(
        before.splitlines(keepends=True),
        after.splitlines(keepends=True),
        f"{step.wanted.uid} (Grafana)",
        step.wanted.uid,
    )
    return "".join(lines)


def _plain(content: Mapping[str, object]) -> str:
    kept = {key: value for key, value in content.items() if key not in _ITS_OWN}
    return json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _check_source(wanted: DataSource, stored: DataSource, change: SourceChange) -> None:
    name = f"nothing was pushed: the data source {wanted.name!r}"
    other = "choose another name with --datasource-name"
    if change is SourceChange.NOT_PROMETHEUS:
        raise GrafanaError(f"{name} is of type {stored.kind!r}", remedy=other)
    if change is SourceChange.READ_ONLY:
        raise GrafanaError(
            f"{name} leads to {stored.url} and is read from a file", remedy=f"{other}, or change the file"
        )
    if change is SourceChange.OTHER:
        raise GrafanaError(
            f"{name} leads to {stored.url}, not to {wanted.url}", remedy=f"{other}, or let --force change it"
        )
