"""A first request that works, for a model that has just become ready."""

from __future__ import annotations

import json
import shlex

from models.manifest import Manifest
from models.types import Task


def first_call(manifest: Manifest, base_url: str) -> str:
    """One shell command that asks the model for what it does; for tensors it asks which ones it takes."""
    model = str(manifest.id)
    if manifest.task is Task.EMBED:
        return _post(f"{base_url}/v1/embeddings", {"model": model, "input": "Ships carry cargo."})
    if manifest.task is Task.INFER:
        return f"curl -s {shlex.quote(f'{base_url}/v2/models/{manifest.name}/versions/{manifest.version}')}"
    question, options = "What is the capital of France?", {"max_tokens": 32, "temperature": 0}
    if manifest.tokenizer is None or not manifest.tokenizer.has_chat_template:
        return _post(f"{base_url}/v1/completions", {"model": model, "prompt": question, **options})
    messages = [{"role": "user", "content": question}]
    return _post(f"{base_url}/v1/chat/completions", {"model": model, "messages": messages, **options})


def _post(url: str, body: dict[str, object]) -> str:
    return f"curl -s {shlex.quote(url)} -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}"
