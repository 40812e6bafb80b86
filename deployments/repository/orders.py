"""What an operator asks for, and the application that it is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from deployments.routing.run_time import RunTimeNote


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """``version`` None: the newest in the store. ``args`` are those of ModelArgs that say how it is deployed."""

    model: str
    version: str | None = None
    args: Mapping[str, JsonValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be another, of what can be changed without a restart; None stays."""

    min_replicas: int | None = None
    max_replicas: int | None = None
    pinned: bool | None = None


@dataclass(frozen=True, slots=True)
class Deployed:
    """An application that is deployed: ``written`` as the file has it or would have it, in Serve's schema.

    ``note`` None: it is as the file has it.
    """

    written: Mapping[str, JsonValue]
    note: RunTimeNote | None = None

    @property
    def args(self) -> Mapping[str, JsonValue]:
        """Those that hold."""
        if self.note is not None:
            return self.note.args
        args = self.written.get("args")
        return args if isinstance(args, dict) else {}

    @property
    def is_of_file(self) -> bool:
        """Whether it was deployed with the file, whatever has been changed since."""
        return self.note is None or self.note.loaded is None
