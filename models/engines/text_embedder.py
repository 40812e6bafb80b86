"""What embedding models have in common, whichever library computes their states."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from models.engines.base import EngineSettings
from models.engines.pooling import Vectors, l2_normalize, pool
from models.engines.tokenize import TextOrIds, TextTokenizer, TokenBatch, batches
from models.errors import ConfigError, EngineError
from models.manifest import EmbeddingFacts, Manifest
from models.types import EmbeddingResult, Usage

# From a batch to the states of its tokens, [batch, tokens, dim], or to vectors already pooled, [batch, dim].
Forward = Callable[[TokenBatch], npt.NDArray[np.floating]]


class TextEmbedder:
    """Tokenises, batches, pools and normalises as the manifest says. ConfigError when it does not say."""

    def __init__(self, tokenizer: Tokenizer, manifest: Manifest, settings: EngineSettings) -> None:
        self._facts = _embedding_facts(manifest)
        max_tokens = min(self._facts.max_tokens, settings.max_model_len)
        self._tokenizer = TextTokenizer(tokenizer, max_tokens=max_tokens)
        self._max_batch_size = settings.max_batch_size

    @property
    def dimension(self) -> int:
        return self._facts.dimension

    def tokenize(self, inputs: Sequence[TextOrIds]) -> list[tuple[int, ...]]:
        """The ids of each input, special tokens included; ContextLengthError for one that is too long."""
        return self._tokenizer.encode(inputs)

    def embed(self, inputs: Sequence[TextOrIds], forward: Forward) -> EmbeddingResult:
        """One vector for each input, in order. All inputs are checked before anything is computed."""
        encoded = self._tokenizer.encode(inputs)
        vectors = np.empty((len(encoded), self.dimension), dtype=np.float32)
        for batch in batches(encoded, self._max_batch_size):
            vectors[list(batch.positions)] = self._vectors(forward(batch), batch)
        return EmbeddingResult(vectors, Usage(prompt_tokens=sum(map(len, encoded))))

    def _vectors(self, output: npt.NDArray[np.floating], batch: TokenBatch) -> Vectors:
        if output.ndim == 3:
            output = pool(output, batch.attention_mask, self._facts.pooling)
        expected = (len(batch.positions), self.dimension)
        if output.shape != expected:
            raise EngineError(f"the model gave vectors of shape {output.shape}, its manifest says {expected}")
        vectors = output.astype(np.float32, copy=False)
        return l2_normalize(vectors) if self._facts.normalize else vectors


def _embedding_facts(manifest: Manifest) -> EmbeddingFacts:
    if manifest.embedding is None:
        raise ConfigError(
            f"the manifest of {manifest.id} does not say how its token states become an embedding",
            remedy="import it again from a source that has config.json and the sentence-transformers files",
        )
    return manifest.embedding
