"""A real Llama with random weights and a real byte-level tokenizer, small enough for unit tests."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from models.manifest import ArchitectureFacts, FileEntry, Manifest
from models.types import Task, WeightFormat
from tests.unit.models.engines import tokenizers_for_tests

MAX_POSITIONS = 512
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role not in ('system', 'user', 'assistant') %}"
    "{{ raise_exception('unknown role ' + message.role) }}"
    "{% endif %}"
    "{{ '[' + message.role + '] ' + message.content + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '[assistant] ' }}{% endif %}"
)


def tiny_tokenizer(*, chat_template: str | None = CHAT_TEMPLATE) -> PreTrainedTokenizerFast:
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizers_for_tests.byte_level(), eos_token=tokenizers_for_tests.SPECIAL
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def write_tiny_llama(folder: Path) -> Manifest:
    """Save model and tokenizer into ``folder``; the manifest is what the store would know of them."""
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=MAX_POSITIONS,
        # Wide enough that the scores differ clearly and the text does not soon repeat itself.
        initializer_range=0.5,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        dtype="float32",
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return _manifest(folder, config)


def _manifest(folder: Path, config: LlamaConfig) -> Manifest:
    size = (folder / "model.safetensors").stat().st_size
    return Manifest(
        name="tiny",
        version="1",
        source="file:tiny",
        format=WeightFormat.SAFETENSORS,
        task=Task.GENERATE,
        files=(FileEntry(path="model.safetensors", size_bytes=size, sha256="0" * 64),),
        dtype="float32",
        num_parameters=size // 4,
        weight_bytes=size,
        architecture=ArchitectureFacts(
            model_type="llama",
            hidden_size=config.hidden_size,
            num_hidden_layers=config.num_hidden_layers,
            num_attention_heads=config.num_attention_heads,
            num_key_value_heads=config.num_key_value_heads,
            head_dim=config.hidden_size // config.num_attention_heads,
            intermediate_size=config.intermediate_size,
            vocab_size=config.vocab_size,
            max_position_embeddings=MAX_POSITIONS,
        ),
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
