"""From an offered load to a number of replicas: what queueing theory says of spare capacity."""

from __future__ import annotations

import math
from collections.abc import Callable

from deployments.scaling.decision import Need

# Of the waits, 99 in 100 are to be shorter than the target: ln 100.
_TAIL = math.log(100)
_MOST = 10_000
_MARGIN = 1.1
_LEAST_SHARE, _MOST_SHARE = 0.3, 0.9


def spare(load: float, grain: float, error: float, headroom: float) -> float:
    """What to have beyond ``load``: ``headroom`` standard deviations.

    A load of requests that come independently is about Poisson in units of ``grain``, so that its standard
    deviation is sqrt(load * grain): square-root staffing (Halfin and Whitt, Operations Research 29, 1981). The
    larger the load, the smaller the part of it that has to be spare. Where forecasts have been further off than
    that, by ``error``, requests do not come independently, and that counts.
    """
    return headroom * max(math.sqrt(load * grain), error)


def staff(resource: str, load: float, per_replica: Callable[[int], float], words: str) -> Need:
    """What holds the load, and what would hold a tenth more, below which nobody has to go.

    ``per_replica``: what each of so many replicas holds, which is no less when there are more.
    """
    replicas, keep = (_fewest(amount, per_replica) for amount in (load, load * _MARGIN))
    return Need(resource, load, per_replica(max(1, replicas)), replicas, keep, words)


def _fewest(load: float, per_replica: Callable[[int], float]) -> int:
    """A rounding error in the load does not make a replica."""
    number = math.ceil(load / per_replica(_MOST) - 1e-9)
    while number < _MOST and number * per_replica(max(1, number)) < load - 1e-9:
        number += 1
    return number


def busy_share(work_s: float, target_s: float, num_replicas: int) -> float:
    """How much of the time those may be busy that work on one thing at a time, each for ``work_s``.

    In heavy traffic the wait is about exponential, for arrivals and works as variable as Poisson's with the mean
    work_s / (1 - share) at one replica (Kingman 1961), and the n-th part of that where n of them take from one
    queue. A router that takes the less busy one of two gets part of that, for which sqrt(n) stands here. 99% of
    the waits are to be below ``target_s``.
    """
    share = 1 - _TAIL * work_s / (target_s * math.sqrt(num_replicas))
    return min(_MOST_SHARE, max(_LEAST_SHARE, share))


def backlog(waiting: float, coming: float, served: float) -> float:
    """What waits later, of what waits now, and what comes and is served until then."""
    return max(0.0, waiting + coming - served)
