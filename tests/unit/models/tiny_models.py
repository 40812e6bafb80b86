"""Real model files, as small as they can be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from gguf import GGUFWriter
from onnx import TensorProto, helper
from safetensors.numpy import save_file

BERT_CONFIG = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 6,
    "max_position_embeddings": 32,
}
LLAMA_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 6,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}
VOCAB = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "a": 4, "b": 5}
GGUF_SHAPES = {
    "token_embd": (5, 8),
    "output_norm": (8,),
    "output": (5, 8),
    "blk.0.attn_norm": (8,),
    "blk.0.attn_q": (8, 8),
    "blk.0.attn_k": (4, 8),
    "blk.0.attn_v": (4, 8),
    "blk.0.attn_output": (8, 8),
    "blk.0.ffn_norm": (8,),
    "blk.0.ffn_gate": (16, 8),
    "blk.0.ffn_up": (16, 8),
    "blk.0.ffn_down": (8, 16),
}


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def write_weights(path: Path) -> None:
    """40 float32 and 8 float16 parameters."""
    save_file({"wide": np.ones((5, 8), np.float32), "narrow": np.ones(8, np.float16)}, path)


def write_tokenizer(folder: Path, *, model_max_length: float = 24) -> None:
    model = {"type": "WordPiece", "vocab": VOCAB}
    write_json(folder / "tokenizer.json", {"model": model, "added_tokens": [{"id": 6}]})
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "BertTokenizer", "model_max_length": model_max_length},
    )


def write_sentence_transformer(folder: Path, *, normalize: bool = True) -> None:
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")] + ([("2_Normalize", "Normalize")] * normalize)
    write_json(
        folder / "modules.json",
        [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in modules],
    )
    pooling = {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    write_json(folder / "1_Pooling" / "config.json", pooling)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 16})


def write_encoder(folder: Path) -> Path:
    """An embedding model as sentence-transformers saves it, with files beside it that must not be copied."""
    folder.mkdir(parents=True)
    write_weights(folder / "model.safetensors")
    write_json(folder / "config.json", BERT_CONFIG)
    write_tokenizer(folder)
    write_sentence_transformer(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\nA model.\n", encoding="utf-8")
    (folder / "modeling_evil.py").write_text("raise SystemExit\n", encoding="utf-8")
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    (folder / "training_log.txt").write_text("loss", encoding="utf-8")
    return folder


def write_gguf(path: Path) -> None:
    """A llama of one layer in float32, and a byte-level tokenizer of one merge."""
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(8)
    writer.add_feed_forward_length(16)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(["<s>", "</s>", "a", "b", "ab"])
    writer.add_token_merges(["a b"])
    for name, shape in GGUF_SHAPES.items():
        writer.add_tensor(f"{name}.weight", np.ones(shape, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def onnx_tensor(name: str, data_type: int, dims: Sequence[int], raw: bytes) -> TensorProto:
    return TensorProto(name=name, data_type=data_type, dims=list(dims), raw_data=raw)


def onnx_model(initializers: Sequence[TensorProto], dims: Sequence[int | str]) -> bytes:
    """A graph ``y = x + bias`` of float32 tensors; the first initializer is called bias."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name in "xy")
    node = helper.make_node("Add", ["x", "bias"], ["y"])
    graph = helper.make_graph([node], "adder", [x], [y], initializers)
    opset = helper.make_opsetid("", 17)
    content: bytes = helper.make_model(graph, ir_version=8, opset_imports=[opset]).SerializeToString()
    return content


def write_onnx(path: Path) -> None:
    bias = onnx_tensor("bias", TensorProto.FLOAT, (4,), np.arange(4, dtype=np.float32).tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(onnx_model([bias], ("batch", 4)))
