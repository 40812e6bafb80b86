"""What a model's ``config.json`` says, under the several names that model families use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from models.errors import SourceError
from models.importing.family_defaults import FAMILY_DEFAULTS
from models.importing.json_file import read_json

CONFIG_FILE = "config.json"


def _largest(value: object) -> object:
    """An image's or a patch's side: given as one number, or as height and width."""
    return max(value) if isinstance(value, list) and value else value


def _integer_pattern(value: object) -> object:
    """Most families write the pattern as a number; one writes it as text, beside ``layer_types``."""
    return value if isinstance(value, int) else None


Side = Annotated[int | None, BeforeValidator(_largest)]


class Quantization(BaseModel):
    """``quantization_config``: GPTQ and AWQ say ``bits``, bitsandbytes has a switch for each width."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    quant_method: str = ""
    bits: int | None = None
    load_in_8bit: bool = False
    load_in_4bit: bool = False

    @property
    def num_bits(self) -> int | None:
        if self.bits is not None:
            return self.bits
        return 4 if self.load_in_4bit else 8 if self.load_in_8bit or self.quant_method == "fp8" else None


class RequiredSizes(BaseModel):
    """The sizes of a transformer that have no default."""

    model_config = ConfigDict(frozen=True, strict=True)

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int


class Configuration(BaseModel):
    """The fields of ``config.json`` that Stowage reads. A multimodal model nests its text model's.

    Where a field of an encoder-decoder has several names, the decoder's goes first.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    model_type: str = ""
    architectures: tuple[str, ...] | None = None
    auto_map: dict[str, object] | None = None
    is_encoder_decoder: bool = False
    hidden_size: int | None = Field(None, validation_alias=AliasChoices("hidden_size", "n_embd", "d_model", "dim"))
    num_hidden_layers: int | None = Field(
        None,
        validation_alias=AliasChoices(
            "decoder_layers", "num_decoder_layers", "num_hidden_layers", "n_layer", "n_layers", "num_layers"
        ),
    )
    encoder_layers: int | None = Field(
        None, validation_alias=AliasChoices("encoder_layers", "num_layers", "num_hidden_layers")
    )
    max_source_positions: int | None = None
    num_attention_heads: int | None = Field(
        None,
        validation_alias=AliasChoices(
            "decoder_attention_heads", "num_attention_heads", "n_head", "n_heads", "num_heads"
        ),
    )
    num_key_value_heads: int | None = Field(
        None, validation_alias=AliasChoices("num_key_value_heads", "num_kv_heads", "n_head_kv")
    )
    multi_query: bool = False
    new_decoder_architecture: bool = False
    head_dim: int | None = Field(None, validation_alias=AliasChoices("head_dim", "d_kv"))
    kv_lora_rank: int | None = None
    qk_rope_head_dim: int | None = None
    qk_nope_head_dim: int | None = None
    v_head_dim: int | None = None
    intermediate_size: int | None = Field(
        None,
        validation_alias=AliasChoices(
            "decoder_ffn_dim", "intermediate_size", "n_inner", "ffn_dim", "d_ff", "hidden_dim", "ffn_hidden_size"
        ),
    )
    num_experts: int | None = Field(
        None, validation_alias=AliasChoices("num_experts", "num_local_experts", "n_routed_experts")
    )
    num_experts_per_tok: int | None = None
    moe_intermediate_size: int | None = None
    n_shared_experts: int | None = None
    shared_expert_intermediate_size: int | None = None
    vocab_size: int | None = None
    max_position_embeddings: int | None = Field(
        None,
        validation_alias=AliasChoices(
            "max_target_positions", "max_position_embeddings", "n_positions", "max_seq_len"
        ),
    )
    sliding_window: int | None = None
    use_sliding_window: bool | None = None
    sliding_window_pattern: Annotated[int | None, BeforeValidator(_integer_pattern)] = Field(
        None, validation_alias=AliasChoices("sliding_window_pattern", "_sliding_window_pattern")
    )
    max_window_layers: int | None = None
    layer_types: tuple[str, ...] | None = None
    full_attention_interval: int | None = None
    linear_conv_kernel_dim: int = 4
    linear_key_head_dim: int = 0
    linear_value_head_dim: int = 0
    linear_num_key_heads: int = 0
    linear_num_value_heads: int = 0
    image_size: Side = None
    patch_size: Side = None
    embedding_size: int | None = None
    hidden_sizes: tuple[int, ...] | None = None
    depths: tuple[int, ...] | None = None
    downsample_in_first_stage: bool = False
    tie_word_embeddings: bool | None = None
    quantization_config: Quantization | None = None
    text_config: Configuration | None = None

    @model_validator(mode="before")
    @classmethod
    def _fill_in_defaults(cls, content: object) -> object:
        if not isinstance(content, dict):
            return content
        return {**FAMILY_DEFAULTS.get(str(content.get("model_type")), {}), **content}

    @property
    def text(self) -> Configuration:
        """The text model's part."""
        return self.text_config or self

    @property
    def is_transformer(self) -> bool:
        """Whether the sizes of a transformer's text model are all there."""
        text = self.text
        sizes = (text.vocab_size, text.hidden_size, text.num_hidden_layers, text.num_attention_heads)
        return None not in sizes

    @property
    def is_convolutional(self) -> bool:
        """Whether this is a network of stages without attention, as ResNet."""
        return bool(self.hidden_sizes and self.depths) and self.num_attention_heads is None

    def required_sizes(self) -> RequiredSizes:
        """What every transformer has. SourceError names the sizes that the file does not say."""
        try:
            return RequiredSizes.model_validate(self.text.model_dump(include=set(RequiredSizes.model_fields)))
        except ValidationError as error:
            missing = ", ".join(str(each["loc"][0]) for each in error.errors())
            raise SourceError(
                f"config.json of a {self.model_type!r} model lacks {missing}",
                remedy="import the model with its whole config.json",
            ) from error


def read_configuration(folder: Path) -> Configuration | None:
    """``config.json`` of the folder; None when there is none, SourceError when it cannot be read."""
    path = folder / CONFIG_FILE
    if not path.exists():
        return None
    return read_json(path, Configuration)
