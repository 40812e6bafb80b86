"""What continuous batching answers greedily is what ``model.generate`` answers, token for token."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from openai import OpenAI

from models.store import open_store
from models.types import ChatMessage, Conversation, VersionId
from tests.unit.models.engines.tiny_llama import Reference, TinyLlama

NUM_TOKENS = 32
QUESTIONS = (
    "What is the capital of France?",
    "Write a haiku about a harbour.",
    "Explain in one sentence what a ship's hold is for.",
    "List the days of the week.",
)


@pytest.fixture(scope="module")
def expected(client: OpenAI, store_folder: Path) -> list[str]:
    """One question after the other, through transformers alone."""
    stored = open_store(str(store_folder)).get(VersionId("smollm2-135m", "1"))
    reference = Reference(TinyLlama(stored.folder, stored.manifest, "", end_ids=frozenset({2})))
    conversations = [Conversation((ChatMessage("user", question),)) for question in QUESTIONS]
    return [reference.greedy(conversation, NUM_TOKENS).text for conversation in conversations]


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
