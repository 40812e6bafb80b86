"""The note of what was done at run time travels beside the card and disturbs no reader of it."""

from __future__ import annotations

import json

import pytest
from pydantic import JsonValue

from deployments.routing.cards import dump_card, load_card
from deployments.routing.run_time import RunTimeNote, Stamp, load_note, with_note
from deployments.routing.serve_details import POOL_BUILDER, ServeDetails
from models.types import ModelCard, Task, VersionId
from tests.unit.serve_details import application, details

CARD = ModelCard(VersionId("m", "1"), Task.EMBED, "onnx", created_unix_s=1)
NOTE = RunTimeNote(
    {"name": "m@1", "import_path": "deployments.app:build_model", "args": {"max_replicas": 1, "device": "cpu"}},
    {"max_replicas": 3, "device": "cpu", "limits": {"max_batch_size": 4}},
    loaded=Stamp("ann", 1.5),
)


def test_it_comes_back_unchanged_and_leaves_the_card_as_it_is() -> None:
    sent = json.loads(json.dumps(with_note(dump_card(CARD), NOTE)))
    assert load_note(sent) == NOTE
    assert load_card(sent) == CARD


@pytest.mark.parametrize("value", [None, {}, "text", {"run_time": 3}, {"run_time": {"args": {}}}])
def test_there_is_none_in_anything_else(value: object) -> None:
    assert load_note(value) is None


def test_a_user_config_that_is_no_object_takes_none() -> None:
    with pytest.raises(TypeError, match="'text'"):
        with_note("text", NOTE)


def test_differences_are_told_one_by_one() -> None:
    assert list(NOTE.differences()) == ["max_replicas 1 -> 3", 'limits absent -> {"max_batch_size": 4}']


def test_the_router_and_the_command_line_see_it() -> None:
    reply = application("m@1", "RUNNING", ("RUNNING",), user_config=with_note(dump_card(CARD), NOTE))
    (view,) = ServeDetails.model_validate_json(details(reply)).views()
    assert (view.run_time, view.card) == (NOTE, CARD)


def test_a_pool_is_known_by_its_note_when_serve_keeps_no_file_of_it() -> None:
    pool: dict[str, JsonValue] = {
        "name": "pool-small",
        "import_path": POOL_BUILDER,
        "args": {"models": [{"model": "m"}]},
    }
    note = RunTimeNote(pool, {}, changed=Stamp("ann", 1.5))
    reply = application("pool-small", "DEPLOYING", user_config=with_note({"theirs": 1}, note))
    (view,) = ServeDetails.model_validate_json(details(reply)).views()
    assert view.pooled == {VersionId("m", "1"): None}
