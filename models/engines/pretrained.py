"""Loads a stored model with transformers: memory-mapped, never cast, and complete."""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModel, AutoModelForCausalLM, PreTrainedModel

from models.engines.mapped_weights import private_weight_bytes
from models.engines.quiet import quieten_transformers
from models.errors import ConfigError
from models.manifest import Manifest

_logger = logging.getLogger(__name__)

AutoClass = type[AutoModel] | type[AutoModelForCausalLM]


def load_pretrained(
    auto_class: AutoClass, folder: Path, manifest: Manifest, device: str, unused: str | None = None
) -> PreTrainedModel:
    """The model on ``device``, ready for inference, in the dtype in which its weights are stored.

    On the CPU its weights are pages of the file, so replicas on a node share one copy; a warning says how many
    bytes are not, beyond what the manifest knows. ConfigError when weights are missing or have another shape than
    config.json says; those whose name starts with ``unused`` may be missing.
    """
    quieten_transformers()
    from_pretrained: Any = auto_class.from_pretrained
    model, report = from_pretrained(
        folder,
        dtype=getattr(torch, manifest.dtype),
        attn_implementation="sdpa",
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are refused below, with the model's name
    )
    _check_report(report, manifest, unused)
    if device != "cpu":
        torch.nn.Module.to(model, torch.device(device))
    elif sys.platform == "linux":
        _warn_of_copies(private_weight_bytes(model, folder, but=report["missing_keys"]), manifest)
    loaded: PreTrainedModel = model.eval()
    return loaded


def _warn_of_copies(private_bytes: int, manifest: Manifest) -> None:
    """An import writes weights as they are mapped; a version from before that may have others."""
    shared = manifest.weight_bytes if manifest.shared_weight_bytes is None else manifest.shared_weight_bytes
    if private_bytes > manifest.weight_bytes - shared:
        _logger.warning(
            "%s: %.1f MB of its weights are a copy of this process's own, which is in no plan: import it again",
            manifest.id,
            private_bytes / 1e6,
        )


def _check_report(report: Mapping[str, Collection[object]], manifest: Manifest, unused: str | None) -> None:
    """transformers fills what the file lacks with random numbers."""
    names = sorted(map(str, report["missing_keys"]))
    missing = [name for name in names if unused is None or not name.startswith(unused)]
    if missing or report["mismatched_keys"]:
        raise ConfigError(
            f"{manifest.id}: {len(missing)} weights are missing and {len(report['mismatched_keys'])} have "
            f"another shape than config.json says, {missing[:3]} first",
            remedy="import weights and config.json of the same model",
        )
