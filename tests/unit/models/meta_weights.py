"""The safetensors file of a published model without its data: a header, and bytes that were never written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import torch
import transformers
from transformers.initialization import no_init_weights

from models.safetensors_file import CODES
from tests.unit.models.known_models import KnownModel


def transformers_config(model: KnownModel) -> transformers.PretrainedConfig:
    """What transformers reads from the kept file; for weights in the dtype in which they compute."""
    content = json.loads(model.text)
    content.pop("quantization_config", None)
    config: transformers.PretrainedConfig = transformers.AutoConfig.for_model(**content)
    return config


def write_meta_weights(model: KnownModel, path: Path) -> None:
    """The tensors that transformers would save, tied ones once, in the model's dtype."""
    offset, header = 0, {}
    for name, tensor in _stored_tensors(model):
        dtype = model.dtype if tensor.is_floating_point() else str(tensor.dtype).removeprefix("torch.")
        end = offset + tensor.numel() * getattr(torch, dtype).itemsize
        header[name] = {"dtype": CODES[dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + offset)


def _stored_tensors(model: KnownModel) -> Iterator[tuple[str, torch.Tensor]]:
    architecture = getattr(transformers, model.architecture_name)
    with torch.device("meta"), no_init_weights():
        built = architecture(transformers_config(model))
    built.tie_weights()
    yield from built.named_parameters()
    parameters = {name for name, _ in built.named_parameters(remove_duplicate=False)}
    yield from ((name, tensor) for name, tensor in built.state_dict().items() if name not in parameters)
