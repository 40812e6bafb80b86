"""How replicas start on a GPU, as Ray metrics; Prometheus has them with the prefix ``ray_``."""

from __future__ import annotations

from deployments.metrics.lasting_gauge import LastingGauge
from deployments.metrics.replica_rows import ENGINE_STARTING, SHARE_KEPT
from models.start_lock import Holder
from models.types import VersionId


class StartMetrics:
    """One start of one replica: 1 in the state that it is in. ``behind`` names whom it waits for."""

    def __init__(self, model: VersionId, node: str, gpu: str) -> None:
        self._gauge = LastingGauge(ENGINE_STARTING, _tags(model, node, gpu))
        self._state: dict[str, str] | None = None

    def wait_for(self, holder: Holder | None) -> None:
        self._enter({"state": "waiting", "behind": holder.name if holder else ""})

    def start(self) -> None:
        self._enter({"state": "loading", "behind": ""})

    def end(self) -> None:
        """No longer in any state, for good; idempotent."""
        self._gauge.close()
        self._leave()

    def _enter(self, state: dict[str, str]) -> None:
        self._leave()
        self._gauge.set(1, state)
        self._state = state

    def _leave(self) -> None:
        if self._state is not None:
            self._gauge.set(0, self._state)
            self._state = None


def report_compute_share(model: VersionId, node: str, gpu: str, *, kept: bool) -> LastingGauge:
    """Say whether the replica's ``compute_share`` is ``kept``, until its process ends or the gauge is closed."""
    gauge = LastingGauge(SHARE_KEPT, _tags(model, node, gpu))
    gauge.set(kept)
    return gauge


def _tags(model: VersionId, node: str, gpu: str) -> dict[str, str]:
    return {"model": model.name, "version": model.version, "node": node, "gpu": gpu}
