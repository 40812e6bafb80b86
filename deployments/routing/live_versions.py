"""What is live, as the choice of a version asks for it: by id, and by name with the newest first. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import groupby

from deployments.routing.states import ModelState
from models.types import VersionId

_RUNS = re.compile(r"(\d+)")


class LiveVersions:
    """Made anew from each picture of what is live, so that a request pays for two look-ups and no search."""

    def __init__(self, states: Iterable[ModelState]) -> None:
        newest_first = sorted(states, key=_by_name_and_order, reverse=True)
        self._by_id = {state.id: state for state in newest_first}
        groups = groupby(self._by_id.values(), key=lambda state: state.id.name)
        self._by_name = {name: tuple(group) for name, group in groups}

    def get(self, version: VersionId) -> ModelState | None:
        return self._by_id.get(version)

    def is_up(self, version: VersionId) -> bool:
        """Whether the version answers: one that sleeps is woken by a request."""
        state = self.get(version)
        return state is not None and state.ready

    def named(self, name: str) -> tuple[ModelState, ...]:
        """Every version of the model, the newest first."""
        return self._by_name.get(name, ())

    def ids(self) -> list[VersionId]:
        """Every version, sorted."""
        return sorted(self._by_id)


def version_order(version: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key that orders numbers inside versions by value: 2 before 10, v1.9 before v1.10."""
    return tuple((1, int(run), "") if run.isdigit() else (0, 0, run) for run in _RUNS.split(version))


def _by_name_and_order(state: ModelState) -> tuple[str, tuple[tuple[int, int, str], ...]]:
    return state.id.name, version_order(state.id.version)
