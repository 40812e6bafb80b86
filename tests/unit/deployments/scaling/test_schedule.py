"""Windows of the week."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from deployments.scaling.schedule import Window, in_force

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


OFFICE = Window(3, "08:00", "18:00", ("mon", "tue", "wed", "thu", "fri"), "Europe/Berlin")
NIGHT = Window(2, "22:00", "06:00", ("fri",), "Europe/Berlin")


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-11-23T07:59:59", None),
        ("2026-11-23T08:00:00", OFFICE),
        ("2026-11-23T17:59:59", OFFICE),
        ("2026-11-23T18:00:00", None),
        ("2026-11-22T12:00:00", None),  # a Sunday
        ("2026-11-27T23:00:00", NIGHT),
        ("2026-11-28T05:59:00", NIGHT),  # Saturday, of Friday's night
        ("2026-11-28T06:00:00", None),
        ("2026-07-20T08:00:00", OFFICE),  # summer time
        ("2026-07-20T07:59:00", None),
    ],
)
def test_it_is_in_force_by_the_clocks_of_its_zone(moment: str, expected: Window | None) -> None:
    assert in_force((OFFICE, NIGHT), at(moment), 0.0) == expected


def test_it_begins_ahead_by_the_time_of_a_start() -> None:
    assert in_force((OFFICE,), at("2026-11-23T07:59:00"), 59.0) is None
    assert in_force((OFFICE,), at("2026-11-23T07:59:00"), 60.0) == OFFICE


def test_the_night_when_clocks_go_back_is_longer() -> None:
    night = Window(1, "00:00", "24:00", ("sun",), "Europe/Berlin")
    (began, ended), *_ = [
        (at("2026-10-25T00:00:00"), at("2026-10-26T00:00:00")),
    ]
    assert ended - began == 25 * 3600
    assert night.overlaps(ended - 1, ended - 1)
    assert not night.overlaps(ended, ended)


def test_the_most_replicas_of_several_windows_count() -> None:
    more = Window(5, "12:00", "13:00", time_zone="Europe/Berlin")
    assert in_force((OFFICE, more), at("2026-11-23T12:30:00"), 0.0) == more


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"replicas": 0}, "0 replicas"),
        ({"start": "8:00"}, "'8:00'"),
        ({"start": "24:00"}, "'24:00'"),
        ({"end": "18"}, "'18'"),
        ({"days": ("monday",)}, "'monday'"),
        ({"days": ()}, "not some of"),
        ({"time_zone": "Mars/Olympus"}, "'Mars/Olympus'"),
    ],
)
def test_what_is_no_window_is_refused(changes: dict[str, object], part: str) -> None:
    plain: dict[str, object] = {"replicas": 1, "start": "08:00", "end": "18:00"}
    with pytest.raises(ValueError, match=part):
        Window(**{**plain, **changes})  # type: ignore[arg-type]
