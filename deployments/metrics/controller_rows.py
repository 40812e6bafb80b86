"""What Serve's controller reports."""

from __future__ import annotations

from deployments.metrics.row import CounterRow, GaugeRow, Section

_APPLICATION = ("application",)

SCALING_TARGET = GaugeRow("stowage_scaling_target", "Replicas that were decided on", _APPLICATION)
SCALING_WISH = GaugeRow(
    "stowage_scaling_wish", "Replicas that the load alone asks for, before bounds and brakes", _APPLICATION
)
SCALING_CAUSE = GaugeRow(
    "stowage_scaling_cause", "1 for what the number of replicas is bound by, else 0", (*_APPLICATION, "cause")
)
SCALING_COLD_START = GaugeRow(
    "stowage_scaling_cold_start_seconds",
    "From the decision to a replica that takes requests, as three of four of the last ones took at the most",
    _APPLICATION,
)
SCALING_CHANGES = CounterRow(
    "stowage_scaling_changes_total",
    "Changes of the number of replicas, by what bound it then",
    SCALING_CAUSE.labels,
)

SECTIONS = (
    Section(
        "Autoscaling",
        "Serve's controller, of each version that scales by `scaling`",
        (SCALING_TARGET, SCALING_WISH, SCALING_CAUSE, SCALING_COLD_START, SCALING_CHANGES),
    ),
)
