"""What was done to an application while it ran, as no file says it.

It travels in the deployment's ``user_config``, beside the card: so it lasts as long as the application does, and
whoever asks Serve what is deployed learns of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pydantic import JsonValue, TypeAdapter, ValidationError

_FIELD = "run_time"
_ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who, and when."""

    by: str
    at_unix_s: float


@dataclass(frozen=True, slots=True)
class RunTimeNote:
    """``written`` is the application as the file has it, or would have it; ``args`` are those that hold in place
    of its own. ``loaded``: who added it, None for one of the file; ``changed``: who changed its args last.
    """

    written: Mapping[str, JsonValue]
    args: Mapping[str, JsonValue]
    loaded: Stamp | None = None
    changed: Stamp | None = None

    @property
    def newest_unix_s(self) -> float:
        """When something was done last."""
        return max((stamp.at_unix_s for stamp in (self.loaded, self.changed) if stamp), default=0.0)

    def differences(self) -> Iterator[str]:
        """Each of ``args`` that is not as written, as ``max_replicas 1 -> 3``."""
        written = self.written.get("args")
        before = written if isinstance(written, dict) else {}
        for name in dict.fromkeys([*before, *self.args]):
            old, new = before.get(name, _ABSENT), self.args.get(name, _ABSENT)
            if old != new:
                yield f"{name} {_shown(old)} -> {_shown(new)}"


_NOTE = TypeAdapter(RunTimeNote)


def with_note(user_config: object, note: RunTimeNote) -> JsonValue:
    """The ``user_config`` of a model or a pool, with the note in it."""
    if not isinstance(user_config, dict):
        raise TypeError(f"a user_config that is {user_config!r} takes no note")
    return {**user_config, _FIELD: _NOTE.dump_python(note, mode="json")}


def load_note(user_config: object) -> RunTimeNote | None:
    """The note of a ``user_config``; None where there is none that this release can read."""
    if not isinstance(user_config, dict) or _FIELD not in user_config:
        return None
    try:
        return _NOTE.validate_python(user_config[_FIELD])
    except ValidationError:
        return None


def _shown(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value)
