"""Write the manifest of a folder of model files: gather the facts, and refuse what no engine could serve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from models.errors import SourceError
from models.importing.architecture import architecture_facts
from models.importing.configuration import Configuration, read_configuration
from models.importing.embedding import MODULES_FILE, read_embedding
from models.importing.licence import read_licence
from models.importing.task import continues_text, infer_graph_task, infer_transformer_task
from models.importing.tensors import TensorTotals
from models.importing.tokenizer import read_tokenizer
from models.manifest import EmbeddingFacts, Manifest, TensorFacts, TokenizerFacts
from models.spec import ModelSpec
from models.types import Task, WeightFormat


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the files came from, in the words of the manifest."""

    source: str
    revision: str | None
    tokenizer_source: str | None
    licence: str | None


@dataclass(frozen=True, slots=True)
class _Facts:
    """What the files say, before the task decides which of it matters."""

    configuration: Configuration | None
    tokenizer: TokenizerFacts | None
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]


def describe(
    folder: Path,
    spec: ModelSpec,
    weights_format: WeightFormat,
    provenance: Provenance,
    weigh: Callable[[Task], TensorTotals],
) -> Manifest:
    """The manifest, its ``files`` left for the store to fill in. SourceError names what is missing or wrong.

    ``weigh`` is called once, with the task, when all that can be refused without the weights has been.
    """
    facts = _gather(folder, weights_format)
    task = spec.task or _infer_task(folder, weights_format, facts)
    _check_served(weights_format, task, facts)
    totals = weigh(task)
    return Manifest(
        name=spec.model,
        version=spec.version,
        source=provenance.source,
        revision=provenance.revision,
        tokenizer_source=provenance.tokenizer_source,
        format=weights_format,
        task=task,
        files=(),
        dtype=totals.dtype,
        num_parameters=totals.num_parameters,
        weight_bytes=totals.weight_bytes,
        shared_weight_bytes=totals.shared_bytes,
        weight_account=totals.account,
        architecture=architecture_facts(facts.configuration) if facts.configuration else None,
        tokenizer=facts.tokenizer,
        embedding=_embedding(folder, facts) if task is Task.EMBED else None,
        inputs=facts.inputs,
        outputs=facts.outputs,
        licence=provenance.licence or read_licence(folder),
        created=datetime.now(UTC),
    )


def _gather(folder: Path, weights_format: WeightFormat) -> _Facts:
    inputs: tuple[TensorFacts, ...] = ()
    outputs: tuple[TensorFacts, ...] = ()
    configuration = read_configuration(folder)
    if weights_format is WeightFormat.ONNX:
        from models.engines.onnx_session import graph_facts  # noqa: PLC0415 - onnxruntime, only for graphs

        inputs, outputs = graph_facts(next(folder.glob("*.onnx")))
        # A graph says itself what it takes and gives; its config.json may be of another kind of model.
        configuration = configuration if configuration and configuration.is_transformer else None
    return _Facts(configuration, read_tokenizer(folder), inputs, outputs)


def _infer_task(folder: Path, weights_format: WeightFormat, facts: _Facts) -> Task:
    if weights_format is WeightFormat.ONNX:
        return infer_graph_task(facts.inputs, facts.outputs, has_tokenizer=facts.tokenizer is not None)
    return infer_transformer_task(_required(facts.configuration), has_modules=(folder / MODULES_FILE).exists())


def _check_served(weights_format: WeightFormat, task: Task, facts: _Facts) -> None:
    if weights_format is not WeightFormat.ONNX:
        configuration = _required(facts.configuration)
        if task is Task.GENERATE and not continues_text(configuration):
            architectures = list(configuration.architectures or ())
            raise SourceError(
                f"a {configuration.model_type!r} model with architectures {architectures} does not generate text: "
                "its weights have no head for the next token",
                remedy="say task: embed, or leave the task out",
            )
    if task is not Task.INFER and facts.tokenizer is None:
        raise SourceError(
            f"a model for {task.value!r} needs a tokenizer, and none lies beside its weights",
            remedy="name a source that holds one: tokenizer: SOURCE",
        )


def _required(configuration: Configuration | None) -> Configuration:
    if configuration is None:
        raise SourceError(
            "no config.json lies beside the weights", remedy="name the folder that holds both, not the file alone"
        )
    return configuration


def _embedding(folder: Path, facts: _Facts) -> EmbeddingFacts:
    """A graph's first output ends with the dimension; otherwise it is the hidden size."""
    architecture = architecture_facts(facts.configuration) if facts.configuration else None
    fixed = [tensor.shape[-1] for tensor in facts.outputs[:1] if tensor.shape and tensor.shape[-1] > 0]
    dimension = fixed[0] if fixed else architecture.hidden_size if architecture else None
    limits = (
        facts.tokenizer.model_max_length if facts.tokenizer else None,
        architecture.max_position_embeddings if architecture else None,
    )
    return read_embedding(folder, dimension, limits)
