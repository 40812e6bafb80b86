"""Embeds texts with a transformers encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from transformers import AutoModel, PreTrainedModel

from models.engines.base import EngineSettings
from models.engines.cuda_memory import limit_cuda_memory
from models.engines.heap import return_freed_blocks
from models.engines.loaded import Loaded
from models.engines.parts import FRESH, Parts
from models.engines.tensor_check import Signature
from models.engines.text_embedder import TextEmbedder
from models.engines.text_tensors import TEXT, embedding_spec, to_texts
from models.engines.tokenize import TextOrIds, TokenBatch
from models.errors import ConfigError, EngineError
from models.manifest import Manifest
from models.types import EmbeddingResult, EngineStats, InferRequest, Tensor, TensorSpec

# Read by no pooling of ours, and absent from many sentence encoders.
_UNUSED_WEIGHTS = "pooler."

T = TypeVar("T")


class EncoderEngine(Generic[T]):
    """The embedding that sentence-transformers gives, in float32, from token states that ``compute`` gets from
    ``encoder``.

    As tensors it takes ``text`` (BYTES, UTF-8) and gives ``embedding`` (FP32).
    """

    name = "embedding"

    def __init__(
        self,
        manifest: Manifest,
        settings: EngineSettings,
        tokenizer: Tokenizer,
        encoder: T,
        compute: Callable[[T, TokenBatch], npt.NDArray[np.float32]],
    ) -> None:
        self._embedder = TextEmbedder(tokenizer, manifest, settings)
        self._loaded = Loaded(encoder)
        self._compute = compute
        self.embedding_dim = self._embedder.dimension
        self._signature = Signature(manifest.id, (TEXT,), (embedding_spec(self.embedding_dim),))

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._signature.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._signature.outputs

    def tokenize(self, inputs: Sequence[TextOrIds]) -> list[tuple[int, ...]]:
        return self._embedder.tokenize(inputs)

    def embed(self, inputs: Sequence[TextOrIds]) -> EmbeddingResult:
        with self._loaded.use() as encoder:
            return self._embedder.embed(inputs, partial(self._compute, encoder))

    def infer(self, request: InferRequest) -> tuple[Tensor, ...]:
        tensors = self._signature.check_inputs(request.inputs)
        outputs = self._signature.check_outputs(request.outputs)
        vectors = self.embed(to_texts(tensors[TEXT.name]).tolist()).vectors
        return tuple(Tensor(spec.name, spec.datatype, vectors) for spec in outputs)

    def check(self) -> None:
        self._loaded.check()

    def stats(self) -> EngineStats:
        return EngineStats(num_running=self._loaded.num_running)

    def close(self) -> None:
        self._loaded.close()


class TransformersEmbeddingEngine(EncoderEngine[PreTrainedModel]):
    """With the whole model in this process, from weights as they are stored."""

    def __init__(self, folder: Path, manifest: Manifest, settings: EngineSettings, parts: Parts = FRESH) -> None:
        # One setting for the process: a replica holds one engine.
        torch.set_num_threads(settings.num_threads)
        return_freed_blocks()
        limit_cuda_memory(settings)
        tokenizer = parts.tokenizer(folder, manifest)
        model = parts.model(AutoModel, folder, manifest, settings.device, _UNUSED_WEIGHTS)
        _check_encoder(model, manifest)
        super().__init__(manifest, settings, tokenizer, model, partial(_token_states, settings.device))


@torch.inference_mode()
def _token_states(device: str, model: PreTrainedModel, batch: TokenBatch) -> npt.NDArray[np.float32]:
    input_ids = torch.from_numpy(batch.input_ids).to(device)
    attention_mask = torch.from_numpy(batch.attention_mask).to(device)
    try:
        output = model(input_ids=input_ids, attention_mask=attention_mask)
    except RuntimeError as error:
        raise EngineError(f"the model failed on a batch of shape {batch.input_ids.shape}: {error}") from error
    states: npt.NDArray[np.float32] = output.last_hidden_state.float().cpu().numpy()
    return states


def _check_encoder(model: PreTrainedModel, manifest: Manifest) -> None:
    if model.config.is_encoder_decoder:
        raise ConfigError(
            f"{manifest.id} is an encoder with a decoder ({model.config.model_type})",
            remedy="import an encoder alone: the embedding engine runs no decoder",
        )
