"""What the leaders of groups of ranks report, read from Ray's Prometheus endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cluster.live.replica_metrics import Sample

_GROUP = "ray_stowage_group_"


@dataclass(frozen=True, slots=True)
class LiveGroups:
    """The groups of one application: of each that serves the nodes of its ranks, in their order.

    ``after``: what the last group has failed of, while the next one starts. ``failures``: how many have failed
    since the cluster was started, by kind.
    """

    nodes: tuple[tuple[str, ...], ...] = ()
    after: str | None = None
    failures: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        shown = [f"{len(nodes)} ranks: {_listed(nodes)}" for nodes in self.nodes]
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.failures.items()))
        return "; ".join([*shown, *([f"groups failed so far: {kinds}"] if kinds else [])])


def live_groups(samples: Iterable[Sample], running: Mapping[str, Iterable[str]]) -> dict[str, LiveGroups]:
    """By application, of those that are divided. ``running``: the replicas of each that Serve says are."""
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.name.startswith(_GROUP) and sample.value:
            found.setdefault(sample.labels.get("application", ""), []).append(sample)
    return {name: _groups(each, set(running.get(name, ()))) for name, each in found.items()}


def _groups(samples: Sequence[Sample], running: set[str]) -> LiveGroups:
    ranks: dict[str, dict[int, str]] = {}
    failures: dict[str, int] = {}
    after = None
    for sample in samples:
        label, name = sample.labels, sample.name.removeprefix(_GROUP)
        if name == "ranks" and label["replica"] in running:
            ranks.setdefault(label["replica"], {})[int(label["rank"])] = label["node"]
        elif name == "starting":
            after = label.get("after") or after
        elif name == "failures":  # every leader reports those of all
            failures[label["kind"]] = max(failures.get(label["kind"], 0), int(sample.value))
    nodes = (tuple(node for _, node in sorted(by_rank.items())) for _, by_rank in sorted(ranks.items()))
    return LiveGroups(tuple(nodes), after, failures)


def _listed(nodes: Sequence[str]) -> str:
    """``node a, node b``; of ranks that share a node once."""
    return ", ".join(f"node {name}" for name in dict.fromkeys(nodes))
