"""Who starts on a GPU and who waits for it, as a Ray metric; Prometheus has it with the prefix ``ray_``."""

from __future__ import annotations

from ray.util.metrics import Gauge

from models.start_lock import Holder
from models.types import VersionId

_TAGS = ("model", "version", "node", "gpu", "state", "behind")


class StartMetrics:
    """One start of one replica: 1 in the state that it is in. ``behind`` names whom it waits for."""

    def __init__(self, model: VersionId, node: str, gpu: str) -> None:
        description = "1 while a replica waits for or has its turn on a GPU"
        self._gauge = Gauge("stowage_engine_starting", description, _TAGS)
        self._gauge.set_default_tags({"model": model.name, "version": model.version, "node": node, "gpu": gpu})
        self._state: dict[str, str] | None = None

    def wait_for(self, holder: Holder | None) -> None:
        self._enter({"state": "waiting", "behind": holder.name if holder else ""})

    def start(self) -> None:
        self._enter({"state": "loading", "behind": ""})

    def end(self) -> None:
        """No longer in any state; idempotent."""
        if self._state is not None:
            self._gauge.set(0, self._state)
            self._state = None

    def _enter(self, state: dict[str, str]) -> None:
        self.end()
        self._gauge.set(1, state)
        self._state = state
