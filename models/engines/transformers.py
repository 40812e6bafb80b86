"""Text generation on transformers' continuous batching, with the whole model in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import torch
from transformers import AutoModelForCausalLM
from transformers.generation.continuous_batching import ContinuousBatchingManager

from models.engines.base import EngineSettings
from models.engines.continuous import ContinuousEngine
from models.engines.cuda_memory import limit_cuda_memory
from models.engines.parts import FRESH, Parts
from models.manifest import Manifest


class TransformersEngine(ContinuousEngine):
    """The weights stay memory-mapped in the dtype in which they are stored."""

    def __init__(self, folder: Path, manifest: Manifest, settings: EngineSettings, parts: Parts = FRESH) -> None:
        torch.set_num_threads(settings.num_threads)
        limit_cuda_memory(settings)
        tokenizer = parts.chat_tokenizer(folder, manifest)
        model = parts.model(AutoModelForCausalLM, folder, manifest, settings.device)
        make_manager = cast("Callable[..., ContinuousBatchingManager]", model.init_continuous_batching)
        super().__init__(manifest.id, settings, tokenizer, model, make_manager)
