"""A first request that works, for a model that has just become ready."""

from __future__ import annotations

import json
import shlex

from models.manifest import Manifest
from models.types import Task

KEY_VARIABLE = "STOWAGE_API_KEY"


def first_call(manifest: Manifest, base_url: str, *, with_key: bool = False) -> str:
    """One shell command that asks the model for what it does; for tensors it asks which ones it takes.

    ``with_key``: the API key is taken from the variable that the command line's own calls take it from.
    """
    curl = f'curl -s -H "Authorization: Bearer ${KEY_VARIABLE}"' if with_key else "curl -s"
    return f"{curl} {_arguments(manifest, base_url)}"


def _arguments(manifest: Manifest, base_url: str) -> str:
    model = str(manifest.id)
    if manifest.task is Task.EMBED:
        return _post(f"{base_url}/v1/embeddings", {"model": model, "input": "Ships carry cargo."})
    if manifest.task is Task.INFER:
        return shlex.quote(f"{base_url}/v2/models/{manifest.name}/versions/{manifest.version}")
    question, options = "What is the capital of France?", {"max_tokens": 32, "temperature": 0}
    if manifest.tokenizer is None or not manifest.tokenizer.has_chat_template:
        return _post(f"{base_url}/v1/completions", {"model": model, "prompt": question, **options})
    messages = [{"role": "user", "content": question}]
    return _post(f"{base_url}/v1/chat/completions", {"model": model, "messages": messages, **options})


def _post(url: str, body: dict[str, object]) -> str:
    return f"{shlex.quote(url)} -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}"
