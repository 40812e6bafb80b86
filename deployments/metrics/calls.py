"""What becomes of each call at a replica of the router, as Ray metrics."""

from __future__ import annotations

from collections import Counter

from deployments.audit.record import Outcome
from deployments.dataplane.call import Call, Tally
from deployments.dataplane.door import Ending
from deployments.metrics.counts import Counts
from deployments.metrics.ray_metrics import make_histogram
from deployments.metrics.router_rows import (
    ATTEMPTS,
    COLD_START_DURATION,
    COLD_STARTS,
    COMPLETION_TOKENS,
    COST,
    DECISIONS,
    FIRST_TOKEN,
    INTER_TOKEN,
    LIMIT_REFUSALS,
    PROMPT_TOKENS,
    QUEUE_TIME,
    REQUEST_DURATION,
    REQUESTS,
    SHADOWS,
)
from models.errors import QuotaExceededError, StowageError, error_code
from models.types import VersionId

_COUNTED = (
    REQUESTS, PROMPT_TOKENS, COMPLETION_TOKENS, COST, DECISIONS, ATTEMPTS, SHADOWS, COLD_STARTS, LIMIT_REFUSALS,
)  # fmt: skip
_OPERATIONS = frozenset({"generate", "embed", "infer"})
_AGREEMENT = {True: "same", False: "different", None: "unknown"}
_NANO = 1e9


class CallMetrics:
    """An Observer. Counts are kept in ``counts`` until they are taken, times go to Ray at once: it has no way to
    take several. ``streams`` are the open ones by version; those that had any stay, with 0.
    """

    def __init__(self) -> None:
        self.counts = Counts(_COUNTED)
        self.streams: Counter[VersionId] = Counter()
        self._duration = make_histogram(REQUEST_DURATION)
        self._queue = make_histogram(QUEUE_TIME)
        self._first_token = make_histogram(FIRST_TOKEN)
        self._inter_token = make_histogram(INTER_TOKEN)
        self._cold_start = make_histogram(COLD_START_DURATION)

    def left(self, call: Call, ending: Ending, now: float) -> None:
        tally = call.tally
        for version, reason in tally.decisions:
            self.counts.add(DECISIONS, (version.name, version.version, reason))
        if tally.shadow_of is not None:
            self._count_shadow(tally, ending)
            return
        self._count(call, ending)
        if tally.decisions:
            self._time(call, ending.outcome, now)

    def stream_opened(self, version: VersionId) -> None:
        self.streams[version] += 1

    def stream_closed(self, version: VersionId) -> None:
        self.streams[version] -= 1

    def token_gap(self, version: VersionId, seconds: float) -> None:
        self._inter_token.observe(seconds, _labels(version))

    def woke(self, version: VersionId, seconds: float | None) -> None:
        self.counts.add(COLD_STARTS, (*_named(version), "gave_up" if seconds is None else "up"))
        if seconds is not None:
            self._cold_start.observe(seconds, _labels(version))

    def shadow_skipped(self, version: VersionId) -> None:
        self.counts.add(SHADOWS, (*_named(version), "skipped", _AGREEMENT[None]))

    def _count(self, call: Call, ending: Ending) -> None:
        tally, tenant, error = call.tally, call.caller.tenant, ending.error
        version = _named(_version(tally))
        what = (tally.protocol, _operation(tally), ending.outcome, _code(ending))
        self.counts.add(REQUESTS, (*version, tenant, *what))
        self.counts.add(PROMPT_TOKENS, (*version, tenant), tally.input_tokens)
        self.counts.add(COMPLETION_TOKENS, (*version, tenant), tally.output_tokens)
        self.counts.add(COST, (*version, tenant), tally.cost_nano / _NANO)
        for attempt in tally.attempts:
            self.counts.add(ATTEMPTS, (*_named(attempt.target), attempt.outcome))
        if isinstance(error, QuotaExceededError):
            self.counts.add(LIMIT_REFUSALS, (error.scope, error.limit, tenant))

    def _time(self, call: Call, outcome: Outcome, now: float) -> None:
        tally = call.tally
        version = _labels(_version(tally))
        labels = {**version, "operation": _operation(tally)}
        self._duration.observe(now - call.started, {**labels, "outcome": outcome})
        if tally.attempts:
            self._queue.observe(tally.queue_s, labels)
        if tally.first_output_at is not None and tally.operation == "generate":
            self._first_token.observe(tally.first_output_at - call.started, version)

    def _count_shadow(self, tally: Tally, ending: Ending) -> None:
        self.counts.add(SHADOWS, (*_named(_version(tally)), ending.outcome, _AGREEMENT[tally.agrees]))


def _version(tally: Tally) -> VersionId | None:
    """The one that answered, or that was chosen last."""
    if tally.version is not None:
        return tally.version
    return tally.decisions[-1][0] if tally.decisions else None


def _named(version: VersionId | None) -> tuple[str, str]:
    return (version.name, version.version) if version else ("", "")


def _labels(version: VersionId | None) -> dict[str, str]:
    name, number = _named(version)
    return {"model": name, "version": number}


def _operation(tally: Tally) -> str:
    """Of what asks no model the tally has the path, which is the caller's text."""
    return tally.operation if tally.operation in _OPERATIONS else "other"


def _code(ending: Ending) -> str:
    error = ending.error
    if error is None:
        return ""
    refused_by_protocol = ending.outcome is Outcome.REFUSED and not isinstance(error, StowageError)
    return "unroutable" if refused_by_protocol else error_code(error)
