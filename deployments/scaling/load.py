"""What the decision about replicas looks at: what they, the routers and Serve tell. Plain values, told often."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenUse:
    """What a generating replica tells of its last seconds.

    ``held_tokens``: of the ``max_tokens`` of its KV cache, those that are taken or promised. ``waiting_tokens``:
    of requests that the engine has not begun. ``prompt_tokens``: of the mean recent request.
    ``read_tokens_per_s``: how fast a prompt is read by an engine that reads no other: of the recent requests'
    prompt tokens over their time to the first token, the 90th percentile. None: nothing to tell it by yet.
    """

    held_tokens: int
    max_tokens: int
    waiting_tokens: int = 0
    prompt_tokens: float | None = None
    read_tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class BatchUse:
    """What a replica that computes whole batches tells of its last seconds.

    ``queue_s``: how long those waited that entered a batch, the 95th percentile; None: nobody did.
    ``busy_share``: of the time, that in which a batch was being computed. A batch of b takes
    ``batch_base_s + b * batch_item_s``, as ``BatchTimes`` finds it; None until it has seen enough.
    """

    busy_share: float
    queue_s: float | None = None
    batch_base_s: float | None = None
    batch_item_s: float | None = None


@dataclass(frozen=True, slots=True)
class ReplicaLoad:
    """What one replica told ``age_s`` ago.

    ``max_num_seqs``: how many requests its engine runs at once, or has in its largest batch. ``num_waiting``:
    those that are in the replica and that its engine has not begun. ``service_s``: the time from a request's
    entry into the replica to its end, the mean of those that ended within the last seconds; None: none did.
    """

    replica: str
    age_s: float
    num_running: int
    num_waiting: int
    max_num_seqs: int
    finished_per_s: float = 0.0
    service_s: float | None = None
    tokens: TokenUse | None = None
    batches: BatchUse | None = None


@dataclass(frozen=True, slots=True)
class RouterLoad:
    """What all routers tell of a version, summed; ``age_s`` is the oldest part's, None when none has told.

    ``num_under_way``: requests that a router has sent to a replica and that have not ended. ``num_waiting`` and
    ``waiting_tokens``: those in the routers' own queues, or held for a model that sleeps (``num_waking``, a part
    of ``num_waiting``). Tokens are prompt tokens, as far as the router can tell before they are counted.
    ``arrivals_per_s``: requests that wanted in, those that were refused as well, over the last ``window_s``.
    """

    age_s: float | None = None
    num_under_way: int = 0
    num_waiting: int = 0
    waiting_tokens: int = 0
    num_waking: int = 0
    oldest_wait_s: float = 0.0
    arrivals_per_s: float = 0.0
    arrived_tokens_per_s: float = 0.0
    window_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Load:
    """All of one version at ``now``, in seconds since the epoch, since schedules are in hours of the day.

    ``target``: the replicas that were decided on last. ``num_ready``: those that take requests.
    ``cold_start_s``: from the decision to a replica that takes requests, as the last ones took. ``idle_s``: since
    the last request was under way or waited; None: not known, which is as if there had been one now.
    """

    now: float
    target: int
    num_ready: int
    cold_start_s: float
    replicas: tuple[ReplicaLoad, ...] = ()
    routers: RouterLoad = RouterLoad()
    idle_s: float | None = None
