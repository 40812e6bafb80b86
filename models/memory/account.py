"""In which layer the bytes of a model's weights are, and what of them one rank holds. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from models.errors import ConfigError
from models.manifest import ArchitectureFacts, LayerBytes, Manifest, WeightAccount
from models.memory.terms import item_bytes
from models.parallel.layout import Shard
from models.types import Task

# Families of transformers 5.23 whose plan (``base_model_tp_plan``) divides the projections of queries, keys and
# values and the first matrices of the MLP by rows, the others by columns, and nothing else: a test compares. In
# others every rank computes all heads (OLMo 2, Phi 3), or experts are packed into one tensor.
TENSOR_FAMILIES = frozenset(
    (
        *("arcee", "cohere2", "exaone4", "gemma", "gemma3_text", "granite", "helium", "llama", "ministral"),
        *("ministral3", "mistral", "olmo", "qwen2", "qwen3", "seed_oss", "smollm3"),
    )
)
# Families that multiply hidden states between the embedding and the first layer, which a later stage would repeat.
SCALED_FAMILIES = frozenset(("granite", "granitemoe", "granitemoeshared", "hyperclovax"))
# Encoders that are an embedding and one stack of layers.
ENCODERS = frozenset(("bert", "roberta", "xlm-roberta"))


# Rows of an encoder's embedding beside those of tokens and positions.
_NUM_TOKEN_TYPES = 2
# Between a formula and the stored bytes: biases, and the pooler of an encoder.
_MOST_DEVIATION = 0.03


@dataclass(frozen=True, slots=True)
class Holding:
    """Bytes of a rank's weights: ``mapped_bytes`` it uses where they lie in the file, the others it copies."""

    mapped_bytes: int
    copied_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.mapped_bytes + self.copied_bytes


def holding(manifest: Manifest, account: WeightAccount, shard: Shard) -> Holding:
    """What the rank with ``shard`` holds.

    A slice of rows is a piece of the file, a slice of columns is not. A head that is the embedding lies on the
    first stage and on the last.
    """
    tensor, layers = shard.degree.tensor, account.each_layer[shard.first_layer : shard.stop_layer]
    mapped = sum(layer_bytes(layer, tensor) - layer.column_bytes // tensor for layer in layers)
    copied = sum(layer.column_bytes for layer in layers) // tensor
    if tensor == 1:
        mapped, copied = mapped + copied, 0
    if shard.is_first:
        mapped += account.embedding_bytes // tensor
    if shard.is_last:
        mapped += account.norm_bytes + _head_bytes(manifest, account, shard) // tensor
    return Holding(mapped, copied)


def layer_bytes(layer: LayerBytes, tensor: int) -> int:
    """Of one of ``tensor`` slices."""
    divided = layer.row_bytes + layer.column_bytes
    return layer.bytes - divided + divided // tensor


def _head_bytes(manifest: Manifest, account: WeightAccount, shard: Shard) -> int:
    if manifest.task is not Task.GENERATE:
        return 0
    if account.head_bytes and not (manifest.architecture and manifest.architecture.tie_word_embeddings):
        return account.head_bytes
    return 0 if shard.is_first else account.embedding_bytes


def weight_account(manifest: Manifest) -> WeightAccount | None:
    """As it was stored, else by formula where the family's layers are known; None where neither is."""
    architecture, account = manifest.architecture, manifest.weight_account
    if architecture is None:
        return None
    if account is not None:
        return account if len(account.each_layer) == architecture.num_hidden_layers else None
    if architecture.experts is not None or architecture.intermediate_size is None:
        return None
    computed = _computed(architecture, item_bytes(manifest))
    # A model with other parts has more bytes.
    agrees = computed and abs(total_bytes(computed) / manifest.weight_bytes - 1) < _MOST_DEVIATION
    return computed if agrees else None


def total_bytes(account: WeightAccount) -> int:
    """All of it, each tensor once."""
    in_layers = sum(layer.num_layers * layer.bytes for layer in account.layers)
    return account.embedding_bytes + in_layers + account.norm_bytes + account.head_bytes


def required_account(manifest: Manifest) -> WeightAccount:
    """ConfigError where it is not known."""
    account = weight_account(manifest)
    if account is None:
        raise ConfigError(
            f"in which layer the bytes of {manifest.id} are is not known, so it cannot be divided",
            remedy="leave parallel out, or import it anew if it is from an older Stowage",
        )
    return account


def scaled(account: WeightAccount, ratio: Fraction) -> WeightAccount:
    """The same weights in elements of ``ratio`` times as many bytes."""
    layers = (
        LayerBytes(
            num_layers=layer.num_layers,
            bytes=int(layer.bytes * ratio),
            row_bytes=int(layer.row_bytes * ratio),
            column_bytes=int(layer.column_bytes * ratio),
        )
        for layer in account.layers
    )
    return WeightAccount(
        embedding_bytes=int(account.embedding_bytes * ratio),
        layers=tuple(layers),
        norm_bytes=int(account.norm_bytes * ratio),
        head_bytes=int(account.head_bytes * ratio),
    )


def _computed(facts: ArchitectureFacts, bytes_of_item: int) -> WeightAccount | None:
    if facts.model_type in TENSOR_FAMILIES:
        return _of_decoder(facts, bytes_of_item)
    return _of_encoder(facts, bytes_of_item) if facts.model_type in ENCODERS else None


def _of_decoder(facts: ArchitectureFacts, bytes_of_item: int) -> WeightAccount:
    """A layer: four projections, a gated MLP and two norms; no biases."""
    hidden, width = facts.hidden_size, facts.intermediate_size or 0
    queries = hidden * facts.num_attention_heads * facts.head_dim
    keys = hidden * facts.num_key_value_heads * facts.head_dim
    rows, columns = queries + 2 * keys + 2 * hidden * width, queries + hidden * width
    layer = LayerBytes(
        num_layers=facts.num_hidden_layers,
        bytes=(rows + columns + 2 * hidden) * bytes_of_item,
        row_bytes=rows * bytes_of_item,
        column_bytes=columns * bytes_of_item,
    )
    table_bytes = facts.vocab_size * hidden * bytes_of_item
    return WeightAccount(
        embedding_bytes=table_bytes,
        layers=(layer,),
        norm_bytes=hidden * bytes_of_item,
        head_bytes=0 if facts.tie_word_embeddings else table_bytes,
    )


def _of_encoder(facts: ArchitectureFacts, bytes_of_item: int) -> WeightAccount:
    """A layer: four projections, an MLP and two norms, with biases."""
    hidden, width = facts.hidden_size, facts.intermediate_size or 0
    elements = 4 * hidden * hidden + 2 * hidden * width + 9 * hidden + width
    layer = LayerBytes(num_layers=facts.num_hidden_layers, bytes=elements * bytes_of_item)
    rows = facts.vocab_size + (facts.max_position_embeddings or 0) + _NUM_TOKEN_TYPES
    return WeightAccount(embedding_bytes=(rows + 2) * hidden * bytes_of_item, layers=(layer,))
