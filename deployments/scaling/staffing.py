"""From an offered load to a number of replicas: what queueing theory says of spare capacity."""

from __future__ import annotations

import math

# Of the waits, 99 in 100 are to be shorter than the target: ln 100.
_TAIL = math.log(100)
_LEAST_SHARE, _MOST_SHARE = 0.3, 0.9


def spare(load: float, grain: float, headroom: float) -> float:
    """What to have beyond ``load``: ``headroom`` standard deviations.

    The load in use is about Poisson in units of ``grain``, so that its standard deviation is sqrt(load * grain):
    square-root staffing (Halfin and Whitt, Operations Research 29, 1981). The larger the load, the smaller the
    part of it that has to be spare.
    """
    return headroom * math.sqrt(load * grain)


def replicas_for(load: float, per_replica: float) -> int:
    """The fewest that hold the load. A rounding error in it does not make a replica."""
    return math.ceil(load / per_replica - 1e-9)


def busy_share(work_s: float, target_s: float) -> float:
    """How much of the time one that works on one thing at a time may be busy, when each takes ``work_s``.

    In heavy traffic the wait is about exponential with mean work_s / (1 - share), for arrivals and works as
    variable as Poisson's (Kingman 1961); 99% of it are to be below ``target_s``.
    """
    return min(_MOST_SHARE, max(_LEAST_SHARE, 1 - _TAIL * work_s / target_s))


def backlog(waiting: float, arrivals_per_s: float, served_per_s: float, ahead_s: float) -> float:
    """What waits in ``ahead_s``, of what waits now and what comes more than is served."""
    return max(0.0, waiting + (arrivals_per_s - served_per_s) * ahead_s)
