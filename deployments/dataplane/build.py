"""The parts of the data plane put together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from deployments.dataplane.arrivals import Arrivals
from deployments.dataplane.attempt import Asker, Waits
from deployments.dataplane.catalog import Catalog
from deployments.dataplane.clients import ModelClients
from deployments.dataplane.coming_up import Waker
from deployments.dataplane.dispatch import Dispatcher
from deployments.dataplane.door import Door
from deployments.dataplane.gate import Gate
from deployments.dataplane.lifelines import Lifelines
from deployments.dataplane.observer import UNOBSERVED, Observer
from deployments.dataplane.operations import DataPlane
from deployments.dataplane.quotas import NoQuotas, Quotas
from deployments.dataplane.shadows import Shadows
from deployments.dataplane.traffic import Traffic
from deployments.dataplane.waking import Waking, WakingLimits
from deployments.routing.lane import LaneLimits


@dataclass(frozen=True, slots=True)
class Patience:
    """How long requests wait, and how many of them."""

    waking: WakingLimits = field(default_factory=WakingLimits)
    lanes: LaneLimits = field(default_factory=LaneLimits)
    max_shadows: int = 32


@dataclass(frozen=True, slots=True)
class Seams:
    """What the data plane stands on: replicas, the limits, and the door that keeps the books; and who watches."""

    clients: ModelClients
    waker: Waker
    quotas: Quotas
    door: Door
    observer: Observer = UNOBSERVED


def build_dataplane(
    catalog: Catalog, seams: Seams, traffic: Traffic, patience: Patience, arrivals: Arrivals | None = None
) -> DataPlane:
    """To be called in the event loop in which it works. From now on it follows the catalog.

    ``arrivals`` has what comes, for whoever wants to know.
    """
    clock = asyncio.get_running_loop().time
    gate = Gate(patience.lanes, clock)
    lifelines = Lifelines(clock, patience.waking.wait_s)
    waking = Waking(catalog, seams.waker, patience.waking, seams.observer)
    waits = Waits(waking, gate, lifelines, arrivals or Arrivals(clock))
    catalog.on_change(lambda: gate.follow(catalog.capacities()))
    catalog.on_change(lambda: lifelines.follow(catalog.live))
    catalog.on_change(lambda: traffic.follow(catalog.live))
    asker = Asker(catalog, seams.clients, traffic, seams.quotas, waits, seams.observer)
    unlimited = Asker(catalog, seams.clients, traffic, NoQuotas(), waits)
    shadows = Shadows(unlimited, seams.door, seams.observer, patience.max_shadows)
    return DataPlane(catalog, traffic, Dispatcher(catalog, traffic, asker, shadows), waits)
