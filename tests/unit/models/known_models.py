"""Published models: their ``config.json``, kept in ``configs/``, and the parameters that they were published with.

The configurations have the fields that say how large the model is, as published. The counts are those that the
model's page shows for its safetensors files or, for the few without any, that its paper or library states.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from models.importing.architecture import architecture_facts
from models.importing.configuration import Configuration
from models.manifest import ArchitectureFacts, EmbeddingFacts, Manifest
from models.types import Task, WeightFormat
from tests.unit.manifests import CREATED

CONFIGS = Path(__file__).parent / "configs"
PAGE = "safetensors total of the model's page"

_ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class KnownModel:
    """``source`` of the count, and where the configuration came from."""

    name: str
    repository: str
    num_parameters: int
    source: str = PAGE

    @cached_property
    def text(self) -> str:
        return (CONFIGS / f"{self.name}.json").read_text(encoding="utf-8")

    @property
    def architecture_name(self) -> str:
        return str(json.loads(self.text)["architectures"][0])

    @property
    def dtype(self) -> str:
        return str(json.loads(self.text).get("torch_dtype", "float32"))

    @property
    def facts(self) -> ArchitectureFacts:
        return architecture_facts(Configuration.model_validate_json(self.text))

    def manifest(self) -> Manifest:
        """As an import of the published weights would write it."""
        facts, embeds = self.facts, self.architecture_name.endswith("Model")
        dimension = EmbeddingFacts(dimension=facts.hidden_size, max_tokens=512)
        return Manifest(
            name=self.name,
            version="1",
            source=f"hf:{self.repository}",
            format=WeightFormat.SAFETENSORS,
            task=Task.EMBED if embeds else Task.GENERATE,
            files=(),
            dtype=self.dtype,
            num_parameters=self.num_parameters,
            weight_bytes=self.num_parameters * _ITEM_BYTES[self.dtype],
            architecture=facts,
            embedding=dimension if embeds else None,
            created=CREATED,
        )


KNOWN_MODELS = (
    KnownModel("llama-2-7b", "meta-llama/Llama-2-7b-hf", 6_738_415_616),
    KnownModel("llama-3.1-8b", "meta-llama/Llama-3.1-8B", 8_030_261_248),
    KnownModel("llama-3.1-70b", "meta-llama/Llama-3.1-70B", 70_553_706_496),
    KnownModel("llama-3.2-1b", "meta-llama/Llama-3.2-1B", 1_235_814_400),
    KnownModel("tinyllama-1.1b", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", 1_100_048_384),
    KnownModel("smollm2-135m", "HuggingFaceTB/SmolLM2-135M-Instruct", 134_515_008),
    KnownModel("smollm2-1.7b", "HuggingFaceTB/SmolLM2-1.7B", 1_711_376_384),
    KnownModel("qwen2.5-0.5b", "Qwen/Qwen2.5-0.5B", 494_032_768),
    KnownModel("qwen2.5-7b", "Qwen/Qwen2.5-7B", 7_615_616_512),
    KnownModel("qwen3-8b", "Qwen/Qwen3-8B", 8_190_735_360),
    KnownModel("qwen3-30b-a3b", "Qwen/Qwen3-30B-A3B", 30_532_122_624),
    KnownModel("mistral-7b-v0.1", "mistralai/Mistral-7B-v0.1", 7_241_732_096),
    KnownModel("mixtral-8x7b-v0.1", "mistralai/Mixtral-8x7B-v0.1", 46_702_792_704),
    KnownModel("gemma-2-2b", "google/gemma-2-2b", 2_614_341_888),
    KnownModel("gemma-2-9b", "google/gemma-2-9b", 9_241_705_984),
    KnownModel("gemma-3-1b", "google/gemma-3-1b-it", 999_885_952),
    KnownModel("gemma-3-4b", "google/gemma-3-4b-it", 4_300_079_472),
    KnownModel("deepseek-v2-lite", "deepseek-ai/DeepSeek-V2-Lite", 15_706_484_224),
    KnownModel(
        "deepseek-v3",
        "deepseek-ai/DeepSeek-V3",
        671_000_000_000,
        "arXiv 2412.19437: 671B parameters, its multi-token prediction module aside",
    ),
    KnownModel("phi-3-mini-4k", "microsoft/Phi-3-mini-4k-instruct", 3_821_079_552),
    KnownModel("phi-4", "microsoft/phi-4", 14_659_507_200),
    KnownModel("gpt2", "openai-community/gpt2", 124_439_808, "transformers' GPT2LMHeadModel, heads tied"),
    KnownModel("gpt-oss-20b", "openai/gpt-oss-20b", 20_914_757_184, "arXiv 2508.10925, table 1: 20.91B"),
    KnownModel("falcon-7b", "tiiuae/falcon-7b", 6_921_720_704, "transformers' FalconForCausalLM, heads tied"),
    KnownModel("starcoderbase-1b", "bigcode/starcoderbase-1b", 1_137_207_296),
    KnownModel("bert-base", "google-bert/bert-base-uncased", 109_482_240, "transformers' BertModel"),
    KnownModel("minilm-l6", "sentence-transformers/all-MiniLM-L6-v2", 22_713_216),
    KnownModel("roberta-base", "FacebookAI/roberta-base", 124_645_632, "transformers' RobertaModel"),
    KnownModel("xlm-roberta-base", "FacebookAI/xlm-roberta-base", 278_043_648, "transformers' XLMRobertaModel"),
    KnownModel("distilbert-base", "distilbert/distilbert-base-uncased", 66_362_880, "DistilBertModel"),
    KnownModel("vit-base-patch16-224", "google/vit-base-patch16-224", 86_567_656),
    KnownModel("resnet-50", "microsoft/resnet-50", 25_557_032, "torchvision's table of weights, ResNet50"),
    KnownModel("t5-base", "google-t5/t5-base", 222_903_552),
    KnownModel("whisper-large-v3", "openai/whisper-large-v3", 1_543_490_560),
)


def known(name: str) -> KnownModel:
    return next(model for model in KNOWN_MODELS if model.name == name)
