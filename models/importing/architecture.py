"""From a read ``config.json`` to the facts for the memory planner."""

from __future__ import annotations

from models.importing.configuration import Configuration, Quantization
from models.importing.layer_types import LayerRule
from models.manifest import (
    ArchitectureFacts,
    EncoderFacts,
    ExpertFacts,
    ImageFacts,
    LatentAttention,
    QuantizationFacts,
)

# The side for which image classifiers that do not say it were published.
IMAGENET_SIDE = 224


def architecture_facts(configuration: Configuration) -> ArchitectureFacts:
    """The facts for the memory planner. SourceError names the sizes that are missing.

    As transformers does, key-value heads default to the attention heads and ``head_dim`` to the hidden size
    divided by them.
    """
    if configuration.is_convolutional:
        return _convolutional(configuration)
    return _transformer(configuration)


def _transformer(configuration: Configuration) -> ArchitectureFacts:
    text = configuration.text
    sizes = configuration.required_sizes()
    heads = sizes.num_attention_heads
    latent = _latent_attention(text)
    tied = (
        text.tie_word_embeddings
        if configuration.tie_word_embeddings is None
        else configuration.tie_word_embeddings
    )
    quantization = configuration.quantization_config or text.quantization_config
    return ArchitectureFacts(
        model_type=text.model_type or configuration.model_type,
        architectures=configuration.architectures or (),
        hidden_size=sizes.hidden_size,
        num_hidden_layers=sizes.num_hidden_layers,
        num_attention_heads=heads,
        num_key_value_heads=_key_value_heads(text, heads),
        head_dim=_head_dim(text, latent, sizes.hidden_size // heads),
        intermediate_size=text.intermediate_size,
        vocab_size=text.vocab_size or 0,
        max_position_embeddings=text.max_position_embeddings,
        sliding_window=_sliding_window(text),
        layer_types=_layer_types(text, sizes.num_hidden_layers),
        recurrent_state_size=_recurrent_state_size(text),
        latent_attention=latent,
        experts=_experts(text),
        encoder=_encoder(text),
        image=_image(text),
        quantization=_quantization(quantization),
        tie_word_embeddings=bool(tied),
    )


def _convolutional(configuration: Configuration) -> ArchitectureFacts:
    """ResNet: the stem halves the image, its pooling halves that, and each stage but the first halves it again."""
    widths = configuration.hidden_sizes or ()
    first = 3 if configuration.downsample_in_first_stage else 2
    return ArchitectureFacts(
        model_type=configuration.model_type,
        architectures=configuration.architectures or (),
        hidden_size=widths[-1],
        num_hidden_layers=sum(configuration.depths or ()),
        num_attention_heads=0,
        num_key_value_heads=0,
        head_dim=0,
        vocab_size=0,
        image=ImageFacts(
            image_size=configuration.image_size or IMAGENET_SIDE,
            channels=(configuration.embedding_size or widths[0], *widths),
            reductions=(2, *(2 ** (first + stage) for stage in range(len(widths)))),
        ),
    )


def _key_value_heads(text: Configuration, heads: int) -> int:
    """One for multi-query attention, which Falcon gave up in its new architecture."""
    if text.multi_query and not text.new_decoder_architecture:
        return 1
    return text.num_key_value_heads or heads


def _head_dim(text: Configuration, latent: LatentAttention | None, default: int) -> int:
    """Elements of one head of the queries."""
    if latent is not None:
        return latent.qk_nope_head_dim + latent.qk_rope_head_dim
    return text.head_dim or default


def _latent_attention(text: Configuration) -> LatentAttention | None:
    if text.kv_lora_rank is None or text.v_head_dim is None:
        return None
    return LatentAttention(
        kv_lora_rank=text.kv_lora_rank,
        qk_rope_head_dim=text.qk_rope_head_dim or 0,
        qk_nope_head_dim=text.qk_nope_head_dim or 0,
        v_head_dim=text.v_head_dim,
    )


def _sliding_window(text: Configuration) -> int | None:
    return None if text.use_sliding_window is False else text.sliding_window


def _layer_types(text: Configuration, num_layers: int) -> tuple[str, ...]:
    if text.layer_types is not None:
        return text.layer_types
    rule = LayerRule(
        text.model_type,
        num_layers,
        _sliding_window(text),
        text.sliding_window_pattern,
        text.max_window_layers,
        text.full_attention_interval,
    )
    return rule.layer_types()


def _recurrent_state_size(text: Configuration) -> int:
    """Of a gated delta rule (Qwen3-Next): the last inputs of the convolution, and a matrix for each value head."""
    keys = text.linear_num_key_heads * text.linear_key_head_dim
    values = text.linear_num_value_heads * text.linear_value_head_dim
    return (2 * keys + values) * text.linear_conv_kernel_dim + values * text.linear_key_head_dim


def _experts(text: Configuration) -> ExpertFacts | None:
    width = text.moe_intermediate_size or text.intermediate_size
    if not text.num_experts or not text.num_experts_per_tok or width is None:
        return None
    shared = text.shared_expert_intermediate_size or (text.n_shared_experts or 0) * width
    return ExpertFacts(
        num_experts=text.num_experts,
        num_experts_per_token=text.num_experts_per_tok,
        intermediate_size=width,
        shared_intermediate_size=shared,
    )


def _encoder(text: Configuration) -> EncoderFacts | None:
    if not text.is_encoder_decoder or text.encoder_layers is None:
        return None
    return EncoderFacts(num_layers=text.encoder_layers, max_tokens=text.max_source_positions)


def _image(text: Configuration) -> ImageFacts | None:
    if text.vocab_size is not None or text.image_size is None:
        return None
    return ImageFacts(image_size=text.image_size, patch_size=text.patch_size)


def _quantization(quantization: Quantization | None) -> QuantizationFacts | None:
    if quantization is None:
        return None
    return QuantizationFacts(method=quantization.quant_method, bits=quantization.num_bits)
