"""Which kind of attention each layer has, by the rules of transformers' configuration classes."""

from __future__ import annotations

from dataclasses import dataclass

from models.importing.family_defaults import FULL_ATTENTION_EVERY, WINDOW_AFTER_FIRST

FULL = "full_attention"
SLIDING = "sliding_attention"
LINEAR = "linear_attention"


@dataclass(frozen=True, slots=True)
class LayerRule:
    """What ``config.json`` says of its layers' kinds. ``sliding_window`` is None where it is switched off."""

    model_type: str
    num_layers: int
    sliding_window: int | None = None
    sliding_window_pattern: int | None = None
    max_window_layers: int | None = None
    full_attention_interval: int | None = None

    def layer_types(self) -> tuple[str, ...]:
        """The kind of each layer; empty where all have full attention.

        As transformers does: every n-th layer is full where the family says so, otherwise a sliding window
        holds for all layers (for those after the first ``max_window_layers`` in the Qwen families).
        """
        if self.full_attention_interval is not None:
            return self._full_every(self.full_attention_interval, LINEAR)
        if self.sliding_window is None:
            return ()
        every = self.sliding_window_pattern or FULL_ATTENTION_EVERY.get(self.model_type)
        if every is not None:
            return self._full_every(every, SLIDING)
        num_full = self.max_window_layers or 0 if self.model_type in WINDOW_AFTER_FIRST else 0
        return tuple(FULL if index < num_full else SLIDING for index in range(self.num_layers))

    def _full_every(self, every: int, otherwise: str) -> tuple[str, ...]:
        return tuple(otherwise if (index + 1) % every else FULL for index in range(self.num_layers))
