from __future__ import annotations

import pytest

from models.errors import SourceError
from models.importing.configuration import Configuration
from models.importing.task import infer_graph_task, infer_transformer_task
from models.manifest import TensorFacts
from models.types import Task


@pytest.mark.parametrize(
    ("model_type", "architecture", "has_modules", "task"),
    [
        ("llama", "LlamaForCausalLM", False, Task.GENERATE),
        ("gpt2", "GPT2LMHeadModel", False, Task.GENERATE),
        ("bert", "BertModel", False, Task.EMBED),
        ("qwen3", "Qwen3ForCausalLM", True, Task.EMBED),
    ],
)
def test_transformers(model_type: str, architecture: str, has_modules: bool, task: Task) -> None:
    configuration = Configuration(model_type=model_type, architectures=(architecture,))
    assert infer_transformer_task(configuration, has_modules=has_modules) is task


@pytest.mark.parametrize("architecture", ["BertForSequenceClassification", "BertForMaskedLM"])
def test_an_unclear_task_is_asked_for(architecture: str) -> None:
    configuration = Configuration(model_type="bert", architectures=(architecture,))
    with pytest.raises(SourceError, match="task: generate or task: embed"):
        infer_transformer_task(configuration, has_modules=False)


def tensor(name: str, *shape: int) -> TensorFacts:
    return TensorFacts(name=name, datatype="FP32", shape=shape)


@pytest.mark.parametrize(
    ("inputs", "outputs", "has_tokenizer", "task"),
    [
        ([tensor("input_ids", -1, -1)], [tensor("y", -1, -1, 8)], True, Task.EMBED),
        ([tensor("input_ids", -1, -1)], [tensor("y", -1, -1, 8)], False, Task.INFER),
        ([tensor("input_ids", -1, -1)], [tensor("logits", -1, 8)], True, Task.INFER),
        ([tensor("image", -1, 3, 8, 8)], [tensor("y", -1, -1, 8)], True, Task.INFER),
        ([tensor("input_ids", -1, -1)], [], True, Task.INFER),
    ],
)
def test_graphs(inputs: list[TensorFacts], outputs: list[TensorFacts], has_tokenizer: bool, task: Task) -> None:
    assert infer_graph_task(inputs, outputs, has_tokenizer=has_tokenizer) is task
