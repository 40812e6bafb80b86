"""One version's number of replicas over time: looks, decides, remembers. Pure: it is told the time."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

from deployments.scaling.decide import decide
from deployments.scaling.decision import Decision
from deployments.scaling.history import MAX_CHANGES, Change, Kept, Latest, change_of
from deployments.scaling.load import Load, ReplicaLoad, RouterLoad
from deployments.scaling.policy_arguments import PolicyArguments
from deployments.scaling.starts import Starts

_OUTSIDE = "serve"
_OUTSIDE_WORDS = "set by Serve: it was deployed anew, or a call that waits has woken it"


@dataclass(frozen=True, slots=True)
class Seen:
    """What Serve's controller knows. ``least`` and ``most`` are the bounds that hold, with its target capacity.

    ``num_requests``: its own count of calls under way, of any caller.
    """

    target: int
    num_ready: int
    least: int
    most: int
    replicas: tuple[ReplicaLoad, ...] = ()
    num_requests: float = 0.0


class Scaler:
    """Of one application, as long as its settings are the same. ``kept``: None where there was nothing before."""

    def __init__(self, arguments: PolicyArguments, kept: Kept | None) -> None:
        self._settings = arguments.settings
        self._guess_s = arguments.cold_start_guess_s
        self._kept = kept or Kept()
        self._starts = Starts(self._kept.starts_s, is_known=kept is not None)
        self._decision: Decision | None = None

    @property
    def decision(self) -> Decision | None:
        """The last one."""
        return self._decision

    @property
    def kept(self) -> Kept:
        """For another one to go on with."""
        return self._kept

    def decide(self, seen: Seen, routers: RouterLoad, now: float) -> tuple[Decision, list[Change]]:
        """The number that there should be, and what has changed: by others since the last time, and by this."""
        changes = self._changed_outside(seen, now)
        expected = seen.target if changes else self._kept.expected
        self._starts.look(seen.target, seen.num_ready, now)
        load = self._load(seen, routers, now)
        settings = replace(self._settings, min_replicas=seen.least, max_replicas=max(1, seen.most))
        decision, memory = decide(load, settings, self._kept.memory)
        if decision.target not in (seen.target, expected):
            changes.append(change_of(decision, seen.target))
        self._decision = decision
        self._kept = replace(
            self._kept,
            memory=memory,
            expected=decision.target,
            starts_s=self._starts.measured,
            changes=(*self._kept.changes, *map(asdict, changes))[-MAX_CHANGES:],
        )
        return decision, changes

    def latest(self, now: float, failure: str | None = None) -> Latest:
        """For the record."""
        cold_start_s = self._starts.estimate_s(self._guess_s)
        return Latest(now, self._settings, cold_start_s, self._kept, self._decision, failure)

    def _load(self, seen: Seen, routers: RouterLoad, now: float) -> Load:
        if self._kept.active_at is None or _is_active(seen, routers):
            self._kept = replace(self._kept, active_at=now)
        return Load(
            now=now,
            target=seen.target,
            num_ready=seen.num_ready,
            cold_start_s=self._starts.estimate_s(self._guess_s),
            replicas=seen.replicas,
            routers=routers,
            idle_s=now - (self._kept.active_at or now),
        )

    def _changed_outside(self, seen: Seen, now: float) -> list[Change]:
        """Serve goes from several to none by way of one."""
        expected = self._kept.expected
        before = self._decision.load.target if self._decision else expected
        if expected is None or before is None or seen.target in (before, expected):
            return []
        if expected == 0 and before > seen.target == 1:
            return []
        return [Change(now, before, seen.target, _OUTSIDE, _OUTSIDE_WORDS)]


def _is_active(seen: Seen, routers: RouterLoad) -> bool:
    in_routers = routers.num_under_way + routers.num_waiting + routers.arrivals_per_s
    in_replicas = sum(replica.num_running + replica.num_waiting for replica in seen.replicas)
    return in_routers + in_replicas + seen.num_requests > 0
