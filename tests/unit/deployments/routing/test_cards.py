"""A card says what a model is, and reaches the router unchanged."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from deployments.routing.cards import PoolConfig, dump_card, dump_pool, load_card, load_pool, make_card
from models.manifest import Manifest
from models.memory.plan import plan_memory
from models.spec import EngineName, Limits
from models.types import ModelCard, Task, TensorSpec, VersionId
from tests.unit.manifests import ADDER, CREATED, MINILM, SMOLLM2


def card_of(manifest: Manifest, engine: EngineName) -> ModelCard:
    return make_card(manifest, plan_memory(manifest, Limits(), engine))


def test_a_generating_model() -> None:
    assert card_of(SMOLLM2, "transformers") == ModelCard(
        id=VersionId("smollm2-135m", "1"),
        task=Task.GENERATE,
        engine="transformers",
        created_unix_s=int(CREATED.timestamp()),
        max_model_len=8192,
        licence="apache-2.0",
        planned_bytes=plan_memory(SMOLLM2, Limits(), "transformers").total_bytes,
        max_concurrency=8,
    )


def test_an_embedding_model_takes_text_and_gives_vectors() -> None:
    card = card_of(MINILM, "embedding")
    assert (card.embedding_dim, card.max_model_len) == (384, 256)
    assert card.inputs == (TensorSpec("text", "BYTES", (-1,)),)
    assert card.outputs == (TensorSpec("embedding", "FP32", (-1, 384)),)


def test_a_graph_has_its_own_inputs_and_outputs() -> None:
    card = card_of(ADDER, "onnx")
    assert card.inputs == (TensorSpec("a", "FP32", (-1, 2)),)
    assert card.outputs == (TensorSpec("sum", "FP32", (-1, 2)),)
    assert card.embedding_dim is None


@pytest.mark.parametrize(
    ("manifest", "engine"), [(SMOLLM2, "transformers"), (MINILM, "embedding"), (ADDER, "onnx")]
)
def test_a_card_survives_its_way_through_json(manifest: Manifest, engine: EngineName) -> None:
    card = card_of(manifest, engine)
    assert load_card(json.loads(json.dumps(dump_card(card)))) == card


@pytest.mark.parametrize("value", [None, {}, "card", {"id": {"name": "..", "version": "1"}}])
def test_anything_else_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        load_card(value)


def test_the_cards_of_a_pool_come_back_unchanged_and_are_not_taken_for_one() -> None:
    cards = (card_of(MINILM, "embedding"), card_of(ADDER, "onnx"))
    sent = json.loads(json.dumps(dump_pool(cards, {cards[1].id, cards[0].id})))
    assert load_pool(sent) == PoolConfig(pooled=cards, pinned=tuple(sorted(card.id for card in cards)))
    with pytest.raises(ValidationError):
        load_card(sent)


@pytest.mark.parametrize("value", [None, {"theirs": 1}, {"pooled": [1]}, dump_card(card_of(ADDER, "onnx"))])
def test_what_is_no_pool_s_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        load_pool(value)
