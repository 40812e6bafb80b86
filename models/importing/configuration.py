"""What a transformer's ``config.json`` says, under the several names that model families use."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from models.errors import SourceError
from models.importing.json_file import read_json
from models.manifest import ArchitectureFacts

CONFIG_FILE = "config.json"


class Configuration(BaseModel):
    """The fields of ``config.json`` that Stowage reads. A multimodal model nests its text model's."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())

    model_type: str = ""
    architectures: tuple[str, ...] | None = None
    auto_map: dict[str, object] | None = None
    hidden_size: int | None = Field(None, validation_alias=AliasChoices("hidden_size", "n_embd", "d_model", "dim"))
    num_hidden_layers: int | None = Field(
        None, validation_alias=AliasChoices("num_hidden_layers", "n_layer", "n_layers", "num_layers")
    )
    num_attention_heads: int | None = Field(
        None, validation_alias=AliasChoices("num_attention_heads", "n_head", "n_heads", "num_heads")
    )
    num_key_value_heads: int | None = Field(
        None, validation_alias=AliasChoices("num_key_value_heads", "num_kv_heads")
    )
    head_dim: int | None = None
    intermediate_size: int | None = Field(
        None, validation_alias=AliasChoices("intermediate_size", "n_inner", "ffn_dim", "d_ff", "hidden_dim")
    )
    vocab_size: int | None = None
    max_position_embeddings: int | None = Field(
        None, validation_alias=AliasChoices("max_position_embeddings", "n_positions", "max_seq_len")
    )
    sliding_window: int | None = None
    use_sliding_window: bool | None = None
    tie_word_embeddings: bool | None = None
    text_config: Configuration | None = None

    @property
    def is_transformer(self) -> bool:
        """Whether the sizes of a transformer's text model are all there."""
        text = self.text_config or self
        return all(getattr(text, name) is not None for name in _REQUIRED)

    def architecture(self) -> ArchitectureFacts:
        """The facts for the memory planner. SourceError names the sizes that are missing.

        As transformers does, key-value heads default to the attention heads and ``head_dim`` to the hidden size
        divided by them.
        """
        text = self.text_config or self
        heads, hidden = text.num_attention_heads, text.hidden_size
        missing = [name for name in _REQUIRED if getattr(text, name) is None]
        if missing or heads is None or hidden is None:
            raise SourceError(
                f"config.json of a {self.model_type!r} model lacks {', '.join(missing)}",
                remedy="import the model with its whole config.json",
            )
        return ArchitectureFacts.model_validate(
            text.model_dump(include=_COPIED)
            | {
                "model_type": text.model_type or self.model_type,
                "architectures": self.architectures or (),
                "num_key_value_heads": text.num_key_value_heads or heads,
                "head_dim": text.head_dim or hidden // heads,
                "sliding_window": None if text.use_sliding_window is False else text.sliding_window,
                "tie_word_embeddings": bool(
                    text.tie_word_embeddings if self.tie_word_embeddings is None else self.tie_word_embeddings
                ),
            }
        )


_REQUIRED = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
_COPIED = {*_REQUIRED, "intermediate_size", "max_position_embeddings"}


def read_configuration(folder: Path) -> Configuration | None:
    """``config.json`` of the folder; None when there is none, SourceError when it cannot be read."""
    path = folder / CONFIG_FILE
    if not path.exists():
        return None
    return read_json(path, Configuration)
