"""What runs otherwise than a file says: told from what Serve keeps of each application. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from cluster.live.dashboard import LiveApplication
from deployments.routing.run_time import RunTimeNote, Stamp

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))

MISSING = "missing"


def told(note: RunTimeNote, now_unix_s: float) -> str:
    """One line, as ``loaded at run time by ann, 2 h ago; changed by bob, 5 min ago: max_replicas 1 -> 3``."""
    loaded = note.loaded and f"loaded at run time {_stamped(note.loaded, now_unix_s)}"
    changed = note.changed and f"changed {'' if loaded else 'at run time '}{_stamped(note.changed, now_unix_s)}"
    if changed and (differences := ", ".join(note.differences())):
        changed = f"{changed}: {differences}"
    return "; ".join(text for text in (loaded, changed) if text)


def missing(names: Sequence[str], live: Collection[LiveApplication]) -> list[LiveApplication]:
    """The applications of a file that are not deployed."""
    there = {app.name for app in live}
    return [
        LiveApplication(name, MISSING, 0, 0, reason="the file has it and `serve deploy` starts it")
        for name in names
        if name not in there
    ]


def beyond(
    old: Sequence[str], new: Sequence[str], live: Sequence[LiveApplication], now_unix_s: float
) -> Iterator[str]:
    """What is deployed otherwise than the ``old`` file says, and what becomes of it with the ``new`` one."""
    for app in live:
        if app.run_time is not None:
            yield f"{app.name}: {told(app.run_time, now_unix_s)}; {_fate(app.name, app.run_time, new)}"
    for app in missing(old, live):
        fate = "deploying starts it" if app.name in new else "it stays away"
        yield f"{app.name}: in the old file and not deployed; {fate}"


def _fate(name: str, note: RunTimeNote, new: Sequence[str]) -> str:
    if name in new:
        return "deploying puts it under the file again, and args other than it was started with restart it"
    if note.loaded:
        return "no file has it, and deploying leaves it as it is"
    return "the new file does not have it any more, and deploying leaves it as it is: unload it"


def _stamped(stamp: Stamp, now_unix_s: float) -> str:
    return f"by {stamp.by}, {_ago(now_unix_s - stamp.at_unix_s)} ago"


def _ago(seconds: float) -> str:
    whole = max(1, int(seconds))
    size, unit = next(each for each in _UNITS if whole >= each[0])
    return f"{whole // size} {unit}"
