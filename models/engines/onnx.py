"""Serves ONNX graphs: named tensors in and out, and embeddings where the manifest says how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.engines.base import EngineSettings
from models.engines.heap import return_freed_blocks
from models.engines.loaded import Loaded
from models.engines.onnx_session import GraphTensor, OnnxSession
from models.engines.parts import FRESH, Parts
from models.engines.tensor_check import Signature, describe
from models.engines.text_embedder import TextEmbedder
from models.engines.text_tensors import to_bytes, to_texts
from models.engines.tokenize import TextOrIds, TokenBatch
from models.errors import ConfigError, InvalidRequestError
from models.manifest import Manifest
from models.types import EmbeddingResult, EngineStats, InferRequest, Tensor, TensorSpec, WeightFormat

Array = npt.NDArray[np.generic]

_TOKEN_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_ID_TYPES: dict[str, type[np.integer]] = {"INT64": np.int64, "INT32": np.int32}
_POOLED_OUTPUT = "sentence_embedding"


class OnnxEngine:
    """Any graph on the CPU. BYTES tensors are UTF-8 text."""

    name = "onnx"

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        settings: EngineSettings,
        parts: Parts = FRESH,  # noqa: ARG002  a graph has none
    ) -> None:
        if settings.device != "cpu":
            raise ConfigError(
                f"{manifest.id}: the onnx engine has no device {settings.device!r}", remedy="give it device 'cpu'"
            )
        return_freed_blocks()
        session = OnnxSession(
            folder / _graph_file(manifest), num_threads=settings.num_threads, cap_bytes=settings.device_cap_bytes
        )
        self._loaded = Loaded(session)
        self._graph_inputs, self._graph_outputs = session.inputs, session.outputs
        self._signature = Signature(manifest.id, _specs(session.inputs), _specs(session.outputs))

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._signature.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._signature.outputs

    def infer(self, request: InferRequest) -> tuple[Tensor, ...]:
        tensors = self._signature.check_inputs(request.inputs)
        wanted = self._signature.check_outputs(request.outputs)
        _check_named_dimensions(tensors, self._graph_inputs)
        with self._loaded.use() as session:
            results = session.run(_feeds(tensors), [spec.name for spec in wanted])
        return tuple(_output(spec, data) for spec, data in zip(wanted, results, strict=True))

    def check(self) -> None:
        self._loaded.check()

    def stats(self) -> EngineStats:
        return EngineStats(num_running=self._loaded.num_running)

    def close(self) -> None:
        self._loaded.close()


class OnnxEmbeddingEngine(OnnxEngine):
    """A text encoder as a graph. Its vectors are the graph's ``sentence_embedding`` or, without that, its first
    output, pooled when it holds the states of tokens."""

    def __init__(self, folder: Path, manifest: Manifest, settings: EngineSettings, parts: Parts = FRESH) -> None:
        super().__init__(folder, manifest, settings)
        self._embedder = TextEmbedder(parts.tokenizer(folder, manifest), manifest, settings)
        self.embedding_dim = self._embedder.dimension
        self._output = _embedding_output(self._graph_outputs)
        self._id_types = {tensor.name: _id_type(tensor) for tensor in self._graph_inputs}

    def tokenize(self, inputs: Sequence[TextOrIds]) -> list[tuple[int, ...]]:
        return self._embedder.tokenize(inputs)

    def embed(self, inputs: Sequence[TextOrIds]) -> EmbeddingResult:
        with self._loaded.use() as session:
            return self._embedder.embed(inputs, lambda batch: self._forward(session, batch))

    def _forward(self, session: OnnxSession, batch: TokenBatch) -> npt.NDArray[np.float32]:
        token_type_ids = np.zeros_like(batch.input_ids)
        available = dict(zip(_TOKEN_INPUTS, (batch.input_ids, batch.attention_mask, token_type_ids), strict=True))
        feeds = {name: available[name].astype(dtype, copy=False) for name, dtype in self._id_types.items()}
        return session.run(feeds, [self._output])[0].astype(np.float32, copy=False)


def _graph_file(manifest: Manifest) -> str:
    graphs = [entry.path for entry in manifest.files if entry.path.endswith(f".{WeightFormat.ONNX}")]
    if len(graphs) != 1:
        raise ConfigError(
            f"{manifest.id} has {len(graphs)} ONNX graphs: {', '.join(graphs)}",
            remedy="import a source that holds exactly one",
        )
    return graphs[0]


def _specs(tensors: Iterable[GraphTensor]) -> tuple[TensorSpec, ...]:
    return tuple(tensor.spec for tensor in tensors)


def _check_named_dimensions(tensors: Mapping[str, Tensor], graph_inputs: Iterable[GraphTensor]) -> None:
    """ONNX: dimensions of one name have one size in all tensors."""
    first: dict[str, tuple[int, str]] = {}
    for graph_input in graph_inputs:
        sizes = tensors[graph_input.name].data.shape
        for dimension, size in zip(graph_input.dimensions, sizes, strict=True):
            if not isinstance(dimension, str):
                continue
            expected, elsewhere = first.setdefault(dimension, (size, graph_input.name))
            if size != expected:
                raise InvalidRequestError(
                    f"dimension {dimension!r} is {size} in input {graph_input.name!r}",
                    remedy=f"make it {expected}, as in {elsewhere!r}",
                    param=graph_input.name,
                )


def _feeds(tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    return {name: to_texts(each) if each.datatype == "BYTES" else each.data for name, each in tensors.items()}


def _output(spec: TensorSpec, data: Array) -> Tensor:
    return Tensor(spec.name, spec.datatype, to_bytes(data) if spec.datatype == "BYTES" else data)


def _embedding_output(outputs: Sequence[GraphTensor]) -> str:
    chosen = next((each for each in outputs if each.name == _POOLED_OUTPUT), outputs[0])
    if len(chosen.dimensions) not in (2, 3) or not chosen.datatype.startswith("FP"):
        raise ConfigError(
            f"output {chosen.name!r} of the graph is {describe(chosen.spec)}, which is no embedding",
            remedy="export the model with token states or vectors as its first output, or use task 'infer'",
        )
    return chosen.name


def _id_type(graph_input: GraphTensor) -> type[np.integer]:
    if graph_input.name not in _TOKEN_INPUTS or graph_input.datatype not in _ID_TYPES:
        raise ConfigError(
            f"the graph takes {graph_input.name!r} as {graph_input.datatype}, which is not made from text here",
            remedy=f"export it with {', '.join(_TOKEN_INPUTS)} in INT64 or INT32, or use task 'infer'",
        )
    return _ID_TYPES[graph_input.datatype]
