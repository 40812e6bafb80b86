"""The card of a model version: written into its deployment by the builder, read from Serve by the router.

It travels as the deployment's ``user_config``, so that the router knows every model, sleeping ones included,
without asking a replica. A pool has the cards of all of its models there.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter

from models.engines.text_tensors import TEXT, embedding_spec
from models.manifest import Manifest, TensorFacts
from models.memory.plan import MemoryPlan
from models.types import ModelCard, TensorSpec, VersionId

_CARD = TypeAdapter(ModelCard)


def make_card(manifest: Manifest, plan: MemoryPlan) -> ModelCard:
    """What is known of a version before any replica runs."""
    inputs, outputs = _specs(manifest.inputs), _specs(manifest.outputs)
    dimension = manifest.embedding.dimension if manifest.embedding else None
    if plan.engine == "embedding" and dimension is not None:
        inputs, outputs = (TEXT,), (embedding_spec(dimension),)
    return ModelCard(
        id=manifest.id,
        task=manifest.task,
        engine=plan.engine,
        created_unix_s=int(manifest.created.timestamp()),
        inputs=inputs,
        outputs=outputs,
        max_model_len=plan.max_model_len,
        embedding_dim=dimension,
        licence=manifest.licence,
        planned_bytes=plan.total_bytes,
        max_concurrency=plan.max_concurrency,
        num_ranks=plan.group.num_ranks if plan.group else 1,
    )


def dump_card(card: ModelCard) -> JsonValue:
    """The card as JSON values."""
    dumped: JsonValue = _CARD.dump_python(card, mode="json")
    return dumped


def load_card(value: object) -> ModelCard:
    """The inverse of ``dump_card``; pydantic.ValidationError for anything else."""
    return _CARD.validate_python(value)


class PoolConfig(BaseModel):
    """The ``user_config`` of a pool: the cards of its models, and those of them that are pinned."""

    model_config = ConfigDict(frozen=True)

    pooled: tuple[ModelCard, ...]
    pinned: tuple[VersionId, ...] = ()


def dump_pool(cards: Sequence[ModelCard], pinned: Collection[VersionId]) -> JsonValue:
    """The ``user_config`` of a pool as JSON values."""
    dumped: JsonValue = PoolConfig(pooled=tuple(cards), pinned=tuple(sorted(pinned))).model_dump(mode="json")
    return dumped


def load_pool(value: object) -> PoolConfig:
    """The inverse of ``dump_pool``; pydantic.ValidationError for anything else."""
    return PoolConfig.model_validate(value)


def _specs(facts: tuple[TensorFacts, ...]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(fact.name, fact.datatype, fact.shape) for fact in facts)
