"""What continuous batching answers greedily is what ``model.generate`` answers, token for token."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from openai import OpenAI
from transformers import AutoModelForCausalLM, AutoTokenizer

NUM_TOKENS = 32
QUESTIONS = (
    "What is the capital of France?",
    "Write a haiku about a harbour.",
    "Explain in one sentence what a ship's hold is for.",
    "List the days of the week.",
)


@pytest.fixture(scope="module")
def expected(store_folder: Path) -> list[str]:
    """One question after the other, through transformers alone."""
    folder = store_folder / "smollm2-135m" / "1"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    texts = []
    for question in QUESTIONS:
        messages = [{"role": "user", "content": question}]
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")[
            "input_ids"
        ]
        with torch.inference_mode():
            tokens = model.generate(prompt, max_new_tokens=NUM_TOKENS, do_sample=False)[0, prompt.shape[1] :]
        texts.append(str(tokenizer.decode(tokens, skip_special_tokens=True)))
    return texts


def test_concurrent_greedy_answers_equal_generate(client: OpenAI, expected: list[str]) -> None:
    def ask(question: str) -> str:
        reply = client.chat.completions.create(
            model="smollm2-135m",
            messages=[{"role": "user", "content": question}],
            temperature=0,
            max_tokens=NUM_TOKENS,
        )
        return reply.choices[0].message.content or ""

    with ThreadPoolExecutor(len(QUESTIONS)) as pool:
        assert list(pool.map(ask, QUESTIONS)) == expected
