"""What a router replica tells of the requests that it holds, for the autoscaler in Serve's controller. Pure.

Imports nothing of ours and nothing large: the controller reads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field, fields

_RELEASE = 1


@dataclass(frozen=True, slots=True)
class VersionDemand:
    """Of one version: what waits in the router, of that what a replica has to start for (``num_waking``), and what
    it has let through. Tokens are those of prompts, as many as are to be expected.

    ``oldest_wait_s``: of the request that has waited longest. ``num_arrived`` and ``arrived_tokens`` count from
    the router's start on, those that were refused too.
    """

    num_waiting: int = 0
    num_waking: int = 0
    waiting_tokens: float = 0.0
    oldest_wait_s: float = 0.0
    num_under_way: int = 0
    num_arrived: int = 0
    arrived_tokens: float = 0.0


@dataclass(frozen=True, slots=True)
class RouterDemand:
    """Of one router replica. ``beat`` is another each time that it tells; ``versions`` by ``name@version``."""

    beat: int
    versions: Mapping[str, VersionDemand] = field(default_factory=dict)


_COLUMNS = [each.name for each in fields(VersionDemand)]


def dump_demand(demand: RouterDemand) -> bytes:
    """As it travels."""
    rows = {name: [_short(value) for value in astuple(each)] for name, each in demand.versions.items()}
    return json.dumps({"release": _RELEASE, "beat": demand.beat, "versions": rows}, separators=(",", ":")).encode()


def load_demand(value: bytes) -> RouterDemand | None:
    """The inverse; None for the words of another release."""
    try:
        told = json.loads(value)
        if told["release"] != _RELEASE:
            return None
        versions = {name: VersionDemand(**dict(zip(_COLUMNS, row, strict=True)))
                    for name, row in told["versions"].items()}  # fmt: skip
        return RouterDemand(int(told["beat"]), versions)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _short(value: float) -> float:
    return value if isinstance(value, int) else round(value, 3)
