"""A real Llama with random weights and a real byte-level tokenizer, small enough for unit tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from models.manifest import ArchitectureFacts, FileEntry, Manifest
from models.types import Conversation, FinishReason, Prompt, Task, Usage, WeightFormat
from tests.unit.models.engines import tokenizers_for_tests

MAX_POSITIONS = 512
ENDING_PROMPT = "This will end"
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


@dataclass(frozen=True)
class TinyLlama:
    """A saved model; its greedy answer to ``ending_prompt`` comes to one of ``end_ids`` after a few tokens."""

    folder: Path
    manifest: Manifest
    ending_prompt: str
    end_ids: frozenset[int]


@dataclass(frozen=True)
class Result:
    """One whole generation."""

    text: str
    finish_reason: FinishReason | None
    usage: Usage | None


class Reference:
    """The same files served by ``model.generate``, one prompt at a time."""

    def __init__(self, tiny: TinyLlama) -> None:
        self._model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(tiny.folder)
        self._tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(tiny.folder)
        self._end_ids = tiny.end_ids

    def greedy(self, prompt: Prompt, max_tokens: int) -> Result:
        prompt_ids = self._encode(prompt)
        fresh = _greedy_tokens(self._model, prompt_ids, max_tokens)
        ended = fresh[-1] in self._end_ids
        text = self._tokenizer.decode(fresh[:-1] if ended else fresh, skip_special_tokens=True)
        reason = FinishReason.STOP if ended else FinishReason.LENGTH
        return Result(str(text), reason, Usage(len(prompt_ids), len(fresh)))

    def _encode(self, prompt: Prompt) -> list[int]:
        if isinstance(prompt, tuple):
            return list(prompt)
        text = prompt if isinstance(prompt, str) else self._render(prompt)
        return list(self._tokenizer(text)["input_ids"])

    def _render(self, prompt: Conversation) -> str:
        messages = [{"role": turn.role, "content": turn.content} for turn in prompt.messages]
        return str(self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))


def write_tiny_llama(folder: Path) -> TinyLlama:
    """Save model and tokenizer into ``folder``, as the store would hold them."""
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
        model = LlamaForCausalLM(config)
    end_ids = frozenset({tokenizer.eos_token_id, _token_that_comes_soon(model, tokenizer)})
    assert model.generation_config is not None
    model.generation_config.eos_token_id = sorted(end_ids)
    model.save_pretrained(folder)
    return TinyLlama(folder, _manifest(folder, config), ENDING_PROMPT, end_ids)


def _token_that_comes_soon(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """One that the model's greedy answer holds after the first few; made an end token, it ends that answer."""
    fresh = _greedy_tokens(model, tokenizer(ENDING_PROMPT)["input_ids"], 20)
    return next(token for place, token in enumerate(fresh) if place > 4 and token not in fresh[:place])


def _greedy_tokens(model: PreTrainedModel, prompt_ids: list[int], max_tokens: int) -> list[int]:
    generate: Callable[..., torch.Tensor] = getattr(model, "generate")  # noqa: B009  its annotations contradict mypy
    ids = torch.tensor([prompt_ids])
    whole = generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=max_tokens, pad_token_id=0
    )
    fresh: list[int] = whole[0, len(prompt_ids) :].tolist()
    return fresh


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
