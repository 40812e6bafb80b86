"""What differs between one Grafana and another."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.grafana.layout import Dashboard
from models.version import VERSION

TAG = "stowage"


@dataclass(frozen=True, slots=True)
class Settings:
    """``ray_dashboard``: where a browser finds Ray's dashboard, without a slash at its end."""

    ray_dashboard: str = "http://127.0.0.1:8265"

    def describe(self, dashboard: Dashboard) -> str:
        """What it is for, and who made it."""
        return f"{dashboard.description} Made by Stowage {VERSION}, docs/dashboards.md says how."
