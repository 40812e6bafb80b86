"""What a Grafana has, what it should have, and what has to be done about it. Decided here, done elsewhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

# The message of a version that a push has saved: by it the next push knows what is there, and whose work it is.
_MARK = "stowage dashboards push "
_HASH_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Rendered:
    """A dashboard as it should be; ``text`` is its JSON."""

    uid: str
    title: str
    text: str

    @property
    def message(self) -> str:
        """For the version history of the dashboard, the same for the same text."""
        return _MARK + hashlib.sha256(self.text.encode()).hexdigest()[:_HASH_DIGITS]


@dataclass(frozen=True, slots=True)
class Stored:
    """A dashboard as it is. ``version``, ``message`` and ``saved_by`` are those of the last save.

    ``folder_uid`` is empty for the root. ``is_provisioned``: Grafana reads it from a file and lets nobody save it.
    """

    version: int
    folder_uid: str
    message: str
    saved_by: str
    is_provisioned: bool = False


class Change(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    MOVE = "move"
    NONE = "unchanged"
    EDITED = "edited by hand"
    PROVISIONED = "read from a file"


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done about one dashboard; ``stored`` is None where there is none yet."""

    wanted: Rendered
    stored: Stored | None
    change: Change

    @property
    def is_refused(self) -> bool:
        """Doing it would undo what somebody did, or Grafana would not let us."""
        return self.change in (Change.EDITED, Change.PROVISIONED)

    @property
    def is_needed(self) -> bool:
        return self.change in (Change.CREATE, Change.UPDATE, Change.MOVE)

    def __str__(self) -> str:
        if self.change is Change.EDITED and self.stored is not None:
            said = f": {self.stored.message!r}" if self.stored.message else ""
            return f"{self.change} (version {self.stored.version}, {self.stored.saved_by}{said})"
        return self.change.value


def decide(wanted: Rendered, stored: Stored | None, folder_uid: str | None, *, force: bool) -> Step:
    """``folder_uid`` is None for a folder that is not there yet. ``force`` overwrites the work of others."""
    if stored is None:
        return Step(wanted, None, Change.CREATE)
    return Step(wanted, stored, _change(wanted, stored, folder_uid, force=force))


def _change(wanted: Rendered, stored: Stored, folder_uid: str | None, *, force: bool) -> Change:
    if stored.is_provisioned:
        return Change.PROVISIONED
    if not stored.message.startswith(_MARK):
        return Change.UPDATE if force else Change.EDITED
    if stored.message != wanted.message:
        return Change.UPDATE
    return Change.NONE if stored.folder_uid == folder_uid else Change.MOVE


@dataclass(frozen=True, slots=True)
class DataSource:
    """A Prometheus as Grafana reaches it. ``uid`` is empty for one that is not there yet."""

    name: str
    url: str
    uid: str = ""
    kind: str = "prometheus"
    is_read_only: bool = False


class SourceChange(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    NONE = "unchanged"
    OTHER = "leads elsewhere"
    READ_ONLY = "read from a file"
    NOT_PROMETHEUS = "of another type"


def decide_source(wanted: DataSource, stored: DataSource | None, *, force: bool) -> SourceChange:
    """A data source is shared with dashboards of others: one that leads elsewhere is changed by force only."""
    if stored is None:
        return SourceChange.CREATE
    if stored.kind != wanted.kind:
        return SourceChange.NOT_PROMETHEUS
    if stored.url.rstrip("/") == wanted.url.rstrip("/"):
        return SourceChange.NONE
    if stored.is_read_only:
        return SourceChange.READ_ONLY
    return SourceChange.UPDATE if force else SourceChange.OTHER
