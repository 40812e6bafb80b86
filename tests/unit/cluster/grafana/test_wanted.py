"""What a push decides, from plain values."""

from __future__ import annotations

import pytest

from cluster.grafana.wanted import (
    Change,
    DataSource,
    Rendered,
    SourceChange,
    Stored,
    decide,
    decide_source,
)

WANTED = Rendered("uid", "Title", "{}")
OTHER = Rendered("uid", "Title", '{"a": 1}')
FOLDER = "folder"


def stored(message: str = WANTED.message, folder: str = FOLDER, *, is_provisioned: bool = False) -> Stored:
    return Stored(3, folder, message, "ann", is_provisioned)


@pytest.mark.parametrize(
    ("there", "folder", "force", "change"),
    [
        (None, None, False, Change.CREATE),
        (stored(), FOLDER, False, Change.NONE),
        (stored(), FOLDER, True, Change.NONE),
        (stored(OTHER.message), FOLDER, False, Change.UPDATE),
        (stored(folder=""), FOLDER, False, Change.MOVE),
        (stored(), None, False, Change.MOVE),
        (stored(OTHER.message, ""), FOLDER, False, Change.UPDATE),
        (stored("wider"), FOLDER, False, Change.EDITED),
        (stored(""), FOLDER, False, Change.EDITED),
        (stored("wider"), FOLDER, True, Change.UPDATE),
        (stored(is_provisioned=True), FOLDER, True, Change.PROVISIONED),
    ],
)
def test_what_is_to_be_done(there: Stored | None, folder: str | None, force: bool, change: Change) -> None:
    step = decide(WANTED, there, folder, force=force)
    assert step.change is change
    assert (step.is_needed, step.is_refused) == (
        change in (Change.CREATE, Change.UPDATE, Change.MOVE),
        change in (Change.EDITED, Change.PROVISIONED),
    )


def test_a_message_is_that_of_its_text_alone() -> None:
    assert WANTED.message == Rendered("other", "Other", WANTED.text).message
    assert WANTED.message != OTHER.message


def test_an_edit_is_told_with_who_and_what() -> None:
    assert str(decide(WANTED, stored("wider"), FOLDER, force=False)) == "edited by hand (version 3, ann: 'wider')"


SOURCE = DataSource("Prometheus", "http://p:9090")


@pytest.mark.parametrize(
    ("there", "force", "change"),
    [
        (None, False, SourceChange.CREATE),
        (DataSource("Prometheus", "http://p:9090/", "u"), False, SourceChange.NONE),
        (DataSource("Prometheus", "http://old:9090", "u"), False, SourceChange.OTHER),
        (DataSource("Prometheus", "http://old:9090", "u"), True, SourceChange.UPDATE),
        (DataSource("Prometheus", "http://old:9090", "u", is_read_only=True), True, SourceChange.READ_ONLY),
        (DataSource("Prometheus", "http://p:9090", "u", "loki"), True, SourceChange.NOT_PROMETHEUS),
        (DataSource("Prometheus", "http://p:9090", "u", is_read_only=True), False, SourceChange.NONE),
    ],
)
def test_what_becomes_of_the_data_source(there: DataSource | None, force: bool, change: SourceChange) -> None:
    assert decide_source(SOURCE, there, force=force) is change
