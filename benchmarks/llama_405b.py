"""Llama 3.1 405B on paper, without its 812 GB, to be planned: ``python -m benchmarks.llama_405b FOLDER``.

The weights are a header, and a hole as large as they are. The sizes are those of the published config.json
(arXiv 2407.21783, table 3); the tokenizer has as many tokens as the model's, made up.
"""

from __future__ import annotations

import json
import sys
from math import prod
from pathlib import Path

import yaml

HIDDEN, LAYERS, HEADS, KV_HEADS, WIDTH, VOCABULARY = 16384, 126, 128, 8, 53248, 128_256
MAX_TOKENS = 131_072

_ITEM_BYTES = 2
_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_act": "silu",
    "hidden_size": HIDDEN,
    "intermediate_size": WIDTH,
    "max_position_embeddings": MAX_TOKENS,
    "model_type": "llama",
    "num_attention_heads": HEADS,
    "num_hidden_layers": LAYERS,
    "num_key_value_heads": KV_HEADS,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": VOCABULARY,
}


def write_model(folder: Path) -> None:
    """The files of the version, as a source has them."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(_CONFIG, indent=2), encoding="utf-8")
    vocabulary = {f"token {number}": number for number in range(VOCABULARY)}
    tokenizer = {"version": "1.0", "model": {"type": "BPE", "vocab": vocabulary, "merges": []}}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    _write_weights(folder / "model.safetensors")


def write_configuration(path: Path, source: Path) -> None:
    """One application: 4 conversations as long as the model takes, on the fewest devices that hold them."""
    args = {
        "model": "llama-405b",
        "source": f"file:{source.resolve()}",
        "task": "generate",
        "parallel": "auto",
        "limits": {"max_model_len": MAX_TOKENS, "max_num_seqs": 4},
    }
    application = {
        "name": "llama-405b@1",
        "route_prefix": None,
        "import_path": "deployments.app:build_model",
        "args": args,
    }
    router = {"name": "router", "route_prefix": "/", "import_path": "deployments.app:build_router", "args": {}}
    path.write_text(yaml.safe_dump({"applications": [router, application]}, sort_keys=False), encoding="utf-8")


def shapes() -> dict[str, tuple[int, ...]]:
    """Of every tensor."""
    keys = HIDDEN // HEADS * KV_HEADS
    layer = {
        "input_layernorm": (HIDDEN,),
        "self_attn.q_proj": (HIDDEN, HIDDEN),
        "self_attn.k_proj": (keys, HIDDEN),
        "self_attn.v_proj": (keys, HIDDEN),
        "self_attn.o_proj": (HIDDEN, HIDDEN),
        "post_attention_layernorm": (HIDDEN,),
        "mlp.gate_proj": (WIDTH, HIDDEN),
        "mlp.up_proj": (WIDTH, HIDDEN),
        "mlp.down_proj": (HIDDEN, WIDTH),
    }
    layers = {
        f"model.layers.{number}.{name}.weight": shape for number in range(LAYERS) for name, shape in layer.items()
    }
    table = (VOCABULARY, HIDDEN)
    ends = {"model.embed_tokens.weight": table, "model.norm.weight": (HIDDEN,), "lm_head.weight": table}
    return {**ends, **layers}


def _write_weights(path: Path) -> None:
    header, end = {}, 0
    for name, shape in shapes().items():
        start, end = end, end + prod(shape) * _ITEM_BYTES
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": (start, end)}
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def main(folder: Path) -> None:
    """Write both."""
    write_model(folder / "model")
    write_configuration(folder / "serve_config.yaml", folder / "model")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
