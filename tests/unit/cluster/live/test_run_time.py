"""How it is told what runs otherwise than a file says."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from cluster.live.dashboard import LiveApplication
from cluster.live.run_time import beyond, missing, told
from deployments.routing.run_time import RunTimeNote, Stamp

NOW = 100_000.0
WRITTEN: dict[str, JsonValue] = {"name": "m@1", "args": {"max_replicas": 1}}
LOADED = RunTimeNote(WRITTEN, {"max_replicas": 1}, loaded=Stamp("ann", NOW - 7300))
SCALED = RunTimeNote(WRITTEN, {"max_replicas": 3}, changed=Stamp("bob", NOW - 310))


def live(name: str, note: RunTimeNote | None = None) -> LiveApplication:
    return LiveApplication(name, "ready", 1, 1, run_time=note)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "1 s"), (59.9, "59 s"), (61, "1 min"), (7300, "2 h"), (86400 * 3.5, "3 d")],
)
def test_times_are_rounded_down_to_one_unit(seconds: float, words: str) -> None:
    note = RunTimeNote(WRITTEN, {}, loaded=Stamp("ann", NOW - seconds))
    assert told(note, NOW) == f"loaded at run time by ann, {words} ago"


def test_what_was_changed_is_told_with_the_values() -> None:
    assert told(SCALED, NOW) == "changed at run time by bob, 5 min ago: max_replicas 1 -> 3"
    both = RunTimeNote(WRITTEN, SCALED.args, LOADED.loaded, SCALED.changed)
    assert told(both, NOW) == (
        "loaded at run time by ann, 2 h ago; changed by bob, 5 min ago: max_replicas 1 -> 3"
    )
    undone = RunTimeNote(WRITTEN, {"max_replicas": 1}, changed=Stamp("bob", NOW - 310))
    assert told(undone, NOW) == "changed at run time by bob, 5 min ago"


def test_what_a_file_has_and_no_cluster_is_missing() -> None:
    (found,) = missing(["m@1", "m@2"], [live("m@1"), live("m@3", LOADED)])
    assert (found.name, found.state, found.num_target) == ("m@2", "missing", 0)


def test_each_difference_has_its_fate() -> None:
    there = [live("kept@1", LOADED), live("taken@1", LOADED), live("m@1", SCALED), live("dropped@1", SCALED)]
    told_lines = list(beyond(["m@1", "dropped@1", "gone@1", "lost@1"], ["taken@1", "m@1", "gone@1"], there, NOW))
    assert [line.partition(":")[0] for line in told_lines] == [
        "kept@1", "taken@1", "m@1", "dropped@1", "gone@1", "lost@1",
    ]  # fmt: skip
    fates = [line.rpartition("; ")[2] for line in told_lines]
    assert fates == [
        "no file has it, and deploying leaves it as it is",
        "deploying puts it under the file again, and args other than it was started with restart it",
        "deploying puts it under the file again, and args other than it was started with restart it",
        "the new file does not have it any more, and deploying leaves it as it is: unload it",
        "deploying starts it",
        "it stays away",
    ]


def test_nothing_is_told_of_a_cluster_that_is_as_the_file_says() -> None:
    assert list(beyond(["m@1"], ["m@1", "m@2"], [live("m@1")], NOW)) == []
