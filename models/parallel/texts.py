"""What the leader tells the other ranks of texts that an encoder embeds. Imports torch."""

from __future__ import annotations

import torch

from models.parallel.runner import StageInput


def encode_texts(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """``ids`` and ``mask`` [batch, tokens] as one int32 tensor: their shape, the ids, the mask."""
    return torch.cat((torch.tensor(ids.shape), ids.flatten(), mask.flatten())).to(torch.int32)


class TextReader:
    """What a message means, on any rank."""

    def __init__(self, device: str) -> None:
        self._device = device

    def __call__(self, message: torch.Tensor) -> StageInput:
        num_texts, num_tokens = message[:2].tolist()
        ids, mask = message[2:].to(self._device, torch.int64).view(2, num_texts, num_tokens)
        return StageInput(ids, {"attention_mask": mask})
