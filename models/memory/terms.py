"""What takes memory in a replica: one function for each term of the sum, shapes beside the products."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from models.errors import ConfigError
from models.hardware import Device
from models.manifest import ArchitectureFacts, ImageFacts, Manifest
from models.memory.overheads import Overhead
from models.spec import EngineName

ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "float64": 8}
FLOAT32_BYTES = 4

# Values that live at once for each token of an encoder: MiniLM's peak is 2 x intermediate + 3 x hidden, at 128 and
# at 256 tokens, when what is freed goes back to the system.
_STATES_PER_TOKEN = 3
_MLP_WIDTHS_PER_TOKEN = 2

# The same for an encoder that ONNX Runtime runs without a fused attention: 14 x dimension, and 6 score matrices.
# Fits MiniLM in int8 at 128 and 256 tokens and batches of 2 to 16 within 4%.
_ONNX_STATES_PER_TOKEN = 14
_ONNX_SCORES_PER_TOKEN = 6
# A graph does not say how many heads it has; sentence encoders have heads of 32 or 64 dimensions.
_SMALLEST_HEAD_DIM = 32

# Terms whose tensors are made and freed again in each step.
_PASSING = frozenset({"attention", "activations", "logits"})
_MARGIN_SHARE: dict[EngineName, float] = {"transformers": 0.6, "vllm": 0.6, "embedding": 0.05, "onnx": 0.05}
_CUDA_MARGIN_SHARE = 0.1

# Bytes of a loaded tokenizer for each token of its vocabulary, by algorithm; BPE has merges too. Measured: SmolLM2
# 961 B, BPE of 32,000 to 256,000 tokens 1,040 B, MiniLM's WordPiece 250 B, Unigram of 250,000 tokens 1,260 B.
_TOKENIZER_BYTES = {"BPE": 1000, "WordPiece": 300, "WordLevel": 300, "Unigram": 1260}

# Feature maps of a convolutional network that live at once: the input, the output and the shortcut of a block.
_LIVE_FEATURE_MAPS = 3


@dataclass(frozen=True, slots=True)
class MemoryTerm:
    """One summand: what it is for, its bytes, and the product that it came from.

    ``shared``: replicas of the version on one CPU node hold these bytes once between them.
    """

    name: str
    bytes: int
    formula: str
    shared: bool = False


class TermSums:
    """What the terms of a plan add up to: ``terms`` lie on the device, ``host_terms`` in its node's memory."""

    __slots__ = ()

    terms: tuple[MemoryTerm, ...]
    host_terms: tuple[MemoryTerm, ...]

    @property
    def total_bytes(self) -> int:
        """On the device."""
        return sum(term.bytes for term in self.terms)

    @property
    def shared_bytes(self) -> int:
        """The part that processes with the same weights on one node hold once between them."""
        return sum(term.bytes for term in self.terms if term.shared)

    @property
    def host_bytes(self) -> int:
        """In the node's memory, beside a GPU."""
        return sum(term.bytes for term in self.host_terms)

    @property
    def kv_cache_bytes(self) -> int:
        """Of the KV cache that this plan is for; 0 for an engine without one."""
        return sum(term.bytes for term in self.terms if term.name == "kv_cache")


def sum_by_name(terms: Iterable[MemoryTerm]) -> tuple[MemoryTerm, ...]:
    """Terms of the same name, of several processes, as one."""
    found: dict[str, MemoryTerm] = {}
    for term in terms:
        seen = found.get(term.name)
        found[term.name] = replace(seen, bytes=seen.bytes + term.bytes, formula="of all ranks") if seen else term
    return tuple(found.values())


def weights(manifest: Manifest, engine: EngineName, device: Device) -> tuple[MemoryTerm, ...]:
    """The tensors as they are stored, tied ones once.

    On a CPU safetensors are used where the file is mapped, so the replicas of a node share them, but for what
    has to be copied on the way in. ONNX Runtime, vLLM and a GPU have a copy of their own.
    """
    formula = f"{manifest.num_parameters:,} parameters as stored"
    if engine in ("onnx", "vllm") or device.kind != "cpu":
        return (MemoryTerm("weights", manifest.weight_bytes, formula),)
    shared = manifest.weight_bytes if manifest.shared_weight_bytes is None else manifest.shared_weight_bytes
    mapped = MemoryTerm("weights", shared, f"{formula}, mapped", shared=True)
    if shared == manifest.weight_bytes:
        return (mapped,)
    return (mapped, MemoryTerm("copied_weights", manifest.weight_bytes - shared, "tensors that cannot be mapped"))


def asleep(term: MemoryTerm) -> MemoryTerm:
    """Weights that have left a GPU, as many bytes of pinned memory: vLLM's server is told not to round them."""
    return MemoryTerm(f"sleeping_{term.name}", term.bytes, "those of the GPU, while it is left to others")


def margin(terms: Sequence[MemoryTerm], engine: EngineName, device: Device) -> MemoryTerm:
    """What the allocator keeps of what comes and goes with each step, in pieces that the next step cannot use.

    On a CPU the C library's: a step reads back more than the one before it, for which the holes of that one are
    too small. Measured in one heap (``engines/heap.py``), with SmolLM2 in float32 and bfloat16, 1 to 8 sequences
    of 512 to 2,048 tokens: up to 72%, in float32 with 8 of 2,048 45%. The other engines have it return what is
    freed: MiniLM in full batches kept 3%. On a GPU torch's, which rounds blocks above 10 MiB up to 2 MiB and takes
    smaller ones out of segments of 20 MiB (``c10/core/AllocatorConfig.h``): not measured here.
    """
    passing = sum(term.bytes for term in terms if term.name in _PASSING)
    share = _MARGIN_SHARE[engine] if device.kind == "cpu" else _CUDA_MARGIN_SHARE
    return MemoryTerm("margin", int(share * passing), f"{share:.0%} of {passing:,} B that come and go")


def runtime(overhead: Overhead, *, leads: bool = True) -> MemoryTerm:
    """The process before it has a model; ``leads``: it is the replica's, not that of a further rank."""
    own = overhead.host_bytes if leads or overhead.follower_bytes is None else overhead.follower_bytes
    return MemoryTerm("runtime", own, f"Python, Ray and libraries: {overhead.source}")


def tokenizer(manifest: Manifest) -> tuple[MemoryTerm, ...]:
    """Vocabulary and merges as the process holds them; nothing for a model without a tokenizer.

    A vocabulary of unknown size is as large as the model's, one of an unknown algorithm counts as BPE.
    """
    facts = manifest.tokenizer
    if facts is None:
        return ()
    size = facts.vocab_size or (manifest.architecture.vocab_size if manifest.architecture else 0)
    per_token = _TOKENIZER_BYTES.get(facts.algorithm or "BPE", _TOKENIZER_BYTES["BPE"])
    return (MemoryTerm("tokenizer", size * per_token, f"{size:,} tokens x {per_token:,} B, measured"),)


def context(overhead: Overhead) -> MemoryTerm:
    """What a GPU gives to the process before it has a model."""
    return MemoryTerm("context", overhead.device_bytes, f"CUDA context and workspaces: {overhead.source}")


def required_architecture(manifest: Manifest) -> ArchitectureFacts:
    """ConfigError when the version has no facts about its layers."""
    if manifest.architecture is None:
        raise ConfigError(
            f"{manifest.id} has no config.json, so its memory cannot be planned",
            remedy="import it from a source with a config.json, or from a GGUF file",
        )
    return manifest.architecture


def item_bytes(manifest: Manifest) -> int:
    """Bytes of one element of the weights, and so of the KV cache and the activations."""
    if manifest.dtype not in ITEM_BYTES:
        raise ConfigError(
            f"{manifest.id} has weights of dtype {manifest.dtype}, in which the engine cannot compute",
            remedy=f"use weights in one of {', '.join(ITEM_BYTES)}",
        )
    return ITEM_BYTES[manifest.dtype]


def batch_activations(manifest: Manifest, batch_size: int, num_tokens: int) -> MemoryTerm:
    """Peak of one full batch through an encoder layer: [batch, tokens, 3 x hidden + 2 x intermediate].

    Attention keeps no scores: torch's fused kernel needs a few rows at a time (FlashAttention, arXiv 2205.14135).
    An encoder of images has as many tokens as patches, and a convolutional network feature maps instead.
    """
    architecture = required_architecture(manifest)
    image = architecture.image
    if image is not None and image.channels:
        return _feature_maps(image, batch_size, item_bytes(manifest))
    tokens = image.num_tokens if image is not None else num_tokens
    width = architecture.intermediate_size or 4 * architecture.hidden_size
    values = _STATES_PER_TOKEN * architecture.hidden_size + _MLP_WIDTHS_PER_TOKEN * width
    return _of_batch(batch_size, tokens, values * FLOAT32_BYTES)


def _feature_maps(image: ImageFacts, batch_size: int, bytes_of_item: int) -> MemoryTerm:
    """The largest map of the network, [channels, side, side], as often as a residual block holds it."""
    sizes = zip(image.channels, image.reductions, strict=True)
    largest = max(channels * (image.image_size // reduction) ** 2 for channels, reduction in sizes)
    per_image = _LIVE_FEATURE_MAPS * largest * bytes_of_item
    return MemoryTerm("activations", batch_size * per_image, f"{batch_size} images x {per_image:,} B")


def session(manifest: Manifest) -> MemoryTerm:
    """ONNX Runtime's own copy of the weights: it may turn quantised constants into float32 when it optimises."""
    return MemoryTerm(
        "session",
        manifest.num_parameters * FLOAT32_BYTES,
        f"{manifest.num_parameters:,} parameters x {FLOAT32_BYTES} B",
    )


def graph_activations(manifest: Manifest, batch_size: int, num_tokens: int) -> MemoryTerm:
    """Peak of one full batch through an ONNX encoder: [batch, tokens, 14 x dimension + 6 x heads x tokens].

    For any other graph as much as its weights: nothing is known of its shapes.
    """
    if manifest.embedding is None:
        return MemoryTerm("activations", manifest.weight_bytes, "as much as the weights: any graph, any shapes")
    dimension = manifest.embedding.dimension
    heads = manifest.architecture.num_attention_heads if manifest.architecture else dimension // _SMALLEST_HEAD_DIM
    values = _ONNX_STATES_PER_TOKEN * dimension + _ONNX_SCORES_PER_TOKEN * max(1, heads) * num_tokens
    return _of_batch(batch_size, num_tokens, values * FLOAT32_BYTES)


def _of_batch(batch_size: int, num_tokens: int, per_token: int) -> MemoryTerm:
    return MemoryTerm(
        "activations",
        batch_size * num_tokens * per_token,
        f"{batch_size} inputs x {num_tokens} tokens x {per_token:,} B",
    )
