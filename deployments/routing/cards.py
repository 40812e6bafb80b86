"""The card of a model version: written into its deployment by the builder, read from Serve by the router.

It travels as the deployment's ``user_config``, so that the router knows every model, sleeping ones included,
without asking a replica.
"""

from __future__ import annotations

from pydantic import JsonValue, TypeAdapter

from models.manifest import Manifest, TensorFacts
from models.memory import MemoryPlan
from models.types import ModelCard, TensorSpec

_CARD = TypeAdapter(ModelCard)

_TEXT_IN = (TensorSpec("text", "BYTES", (-1,)),)


def make_card(manifest: Manifest, plan: MemoryPlan) -> ModelCard:
    """What is known of a version before any replica runs."""
    embeds_text = plan.engine == "embedding" and manifest.embedding is not None
    dimension = manifest.embedding.dimension if manifest.embedding else None
    embedding_out = (TensorSpec("embedding", "FP32", (-1, dimension or -1)),)
    return ModelCard(
        id=manifest.id,
        task=manifest.task,
        engine=plan.engine,
        created_unix_s=int(manifest.created.timestamp()),
        inputs=_TEXT_IN if embeds_text else _specs(manifest.inputs),
        outputs=embedding_out if embeds_text else _specs(manifest.outputs),
        max_model_len=plan.max_model_len,
        embedding_dim=dimension,
        licence=manifest.licence,
        planned_bytes=plan.total_bytes,
    )


def dump_card(card: ModelCard) -> JsonValue:
    """The card as JSON values."""
    dumped: JsonValue = _CARD.dump_python(card, mode="json")
    return dumped


def load_card(value: object) -> ModelCard:
    """The inverse of ``dump_card``; pydantic.ValidationError for anything else."""
    return _CARD.validate_python(value)


def _specs(facts: tuple[TensorFacts, ...]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(fact.name, fact.datatype, fact.shape) for fact in facts)
