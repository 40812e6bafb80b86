"""Prompts to token ids: chat template, tokenizer, and the checks that belong to them."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from models.engines.chat_template import ChatTemplate
from models.errors import ContextLengthError, InvalidRequestError
from models.types import Conversation, Prompt, SamplingParams


class PromptEncoder:
    """Encodes prompts for one model. Safe to use from several threads: it never changes the tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, vocab_size: int, max_model_len: int) -> None:
        self._template = ChatTemplate(tokenizer)
        self._backend = tokenizer.backend_tokenizer
        self._vocab_size = vocab_size
        self._max_model_len = max_model_len

    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids of the prompt; InvalidRequestError when it is empty, malformed or too long."""
        token_ids = self._to_ids(prompt)
        if not token_ids:
            raise InvalidRequestError("the prompt is empty", remedy="send at least one token", param="prompt")
        if len(token_ids) >= self._max_model_len:
            raise ContextLengthError(
                f"the prompt has {len(token_ids)} tokens, but the model's context holds {self._max_model_len} "
                "including at least one token of output",
                remedy="shorten the prompt",
                param="messages" if isinstance(prompt, Conversation) else "prompt",
            )
        return token_ids

    def max_new_tokens(self, num_prompt_tokens: int, sampling: SamplingParams) -> int:
        """How many tokens may follow the prompt; ContextLengthError when fewer than asked for."""
        room = self._max_model_len - num_prompt_tokens
        if sampling.max_tokens is None:
            return room
        if sampling.max_tokens > room:
            raise ContextLengthError(
                f"{num_prompt_tokens} prompt tokens and max_tokens {sampling.max_tokens} exceed the model's "
                f"context of {self._max_model_len} tokens",
                remedy=f"set max_tokens to {room} or less, or shorten the prompt",
                param="max_tokens",
            )
        return sampling.max_tokens

    def _to_ids(self, prompt: Prompt) -> list[int]:
        if isinstance(prompt, Conversation):
            return self._tokenize(self._template.render(prompt), param="messages", add_special_tokens=False)
        if isinstance(prompt, str):
            return self._tokenize(prompt, param="prompt", add_special_tokens=True)
        return self._checked_ids(prompt)

    def _tokenize(self, text: str, *, param: str, add_special_tokens: bool) -> list[int]:
        try:
            text.encode()
        except UnicodeEncodeError as error:  # JSON can carry it
            raise InvalidRequestError(
                f"the text holds half of a surrogate pair: {text[error.start]!r}",
                remedy="send valid Unicode text",
                param=param,
            ) from error
        return list(self._backend.encode(text, add_special_tokens=add_special_tokens).ids)

    def _checked_ids(self, token_ids: tuple[int, ...]) -> list[int]:
        for token_id in token_ids:
            if not 0 <= token_id < self._vocab_size:
                raise InvalidRequestError(
                    f"token id {token_id} is outside the vocabulary of {self._vocab_size} tokens",
                    remedy="encode the prompt with this model's tokenizer",
                    param="prompt",
                )
        return list(token_ids)
