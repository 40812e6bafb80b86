"""Twice as many requests as a model can serve: what is served, how fast, and how fast the others hear no."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from random import Random
from statistics import median, quantiles

from benchmarks.full_router import AMPLE, bearer, issue_key
from benchmarks.open_loop import Reply, Source, arrivals, send
from benchmarks.record import RESULTS, Record, keep, this_machine
from benchmarks.server import ROOT, Server, running_serve
from benchmarks.settings import SETTINGS
from benchmarks.tables import Metrics, Table, medians
from deployments.audit.record import Outcome, RequestRecord, decode_record
from deployments.identity.caller import Priority
from deployments.state.api_key import KeyGrant

PORT = 8107
CAPACITY = 40.0  # requests per second, by overload.yaml
TENANTS = ("acme", "globex")
CLAIM = (
    f"A model that can serve {CAPACITY:g} requests per second gets twice as many, interactive and batch ones of "
    "two tenants, as they come and not when others have been answered. What is served of its capacity, how much "
    "longer interactive requests take than when it is idle, and how soon those that are refused hear of it."
)

_BODY = {"model": "noop", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 1}
_SETTLED_S = 6.0  # from then on the queues are full
_IDLE_LOAD = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure. ``interactive``: shares of the load that are interactive, each a case of its own."""

    num_rounds: int = 3
    duration_s: float = 18.0
    interactive: tuple[float, ...] = (0.25, 0.5)
    setting: str = "stowage"
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """One window. ``interactive`` None: the idle one, of interactive requests at a tenth of the capacity.

    ``goodput`` is a share of the capacity, ``rejected`` of the requests. Latencies in ms; None where there were no
    such requests.
    ``in_router_p99_ms`` is of refusals too, as the router's journal has it: without the proxy in front of it, and
    without what waits for a core there. ``least_share`` is the part of the tenant that was served least, in that
    of both.
    """

    round: int
    interactive: float | None
    num_requests: int
    goodput: float
    interactive_p50_ms: float
    interactive_p95_ms: float
    interactive_rejected: float
    rejected: float
    rejected_p50_ms: float | None
    rejected_p99_ms: float | None
    in_router_p99_ms: float | None
    least_share: float


def run(plan: Plan) -> Record:
    """Measure and say what came out."""
    machine = this_machine()
    with tempfile.TemporaryDirectory() as folder:
        samples = list(_measure(plan, Path(folder)))
    method = [
        f"Load: Poisson, {2 * CAPACITY:g} requests per second, {plan.duration_s:g} s, {plan.num_rounds} rounds",
        f"Of each window the first {_SETTLED_S:g} s do not count; seed {plan.seed}",
        "Model: 8 requests at once, 0.2 s each. The router's `interactive_wait_s` is 0.02 s",
        f"Setting of Ray Serve: `{plan.setting}`, as in router_overhead",
        f"Idle: interactive requests only, {_IDLE_LOAD * CAPACITY:g} per second",
        "Latencies: from when a request was due at the client, a process of its own, to the end of its answer",
    ]
    return Record("overload", CLAIM, method, tables(samples, plan), samples, machine)


def _measure(plan: Plan, folder: Path) -> Iterator[Sample]:
    sources = {each: {tenant: _headers(folder, tenant, each) for tenant in TENANTS} for each in Priority}
    rng = Random(plan.seed)  # noqa: S311
    with running_serve(ROOT / "benchmarks/overload.yaml", PORT, SETTINGS[plan.setting], folder) as server:
        _window(server, plan, _sources(sources, _IDLE_LOAD, 0), rng)
        for number in range(plan.num_rounds):
            print(f"round {number + 1} of {plan.num_rounds}", flush=True)
            for share in (None, *plan.interactive):
                loads = (_IDLE_LOAD, 0.0) if share is None else (2 * share, 2 * (1 - share))
                began = datetime.now(UTC)
                replies = _window(server, plan, _sources(sources, *loads), rng)
                yield summarise(number, share, replies, refusals_ms(folder / "audit", began), plan)


def _headers(folder: Path, tenant: str, priority: Priority) -> dict[str, str]:
    grant = KeyGrant(owner="benchmark", tenant=tenant, priority=priority, limits=AMPLE)
    return bearer(issue_key(folder, grant))


def _sources(headers: dict[Priority, dict[str, dict[str, str]]], interactive: float, batch: float) -> list[Source]:
    """The loads are parts of the capacity, half of each from either tenant."""
    loads = {Priority.INTERACTIVE: interactive, Priority.BATCH: batch}
    return [
        Source(f"{priority} {tenant}", load * CAPACITY / len(TENANTS), headers[priority][tenant])
        for (priority, load), tenant in product(loads.items(), TENANTS)
        if load
    ]


def _window(server: Server, plan: Plan, sources: Sequence[Source], rng: Random) -> list[Reply]:
    due = arrivals(sources, plan.duration_s, rng)
    return asyncio.run(send(f"{server.base_url}/v1/chat/completions", _BODY, due))


def refusals_ms(audit: Path, since: datetime) -> list[float]:
    """How long the router had the requests that it refused since then."""
    lines = (line for path in audit.glob("*.jsonl") for line in path.read_bytes().splitlines())
    records = (record for record in map(decode_record, lines) if isinstance(record, RequestRecord))
    return [each.total_ms for each in records if each.time >= since and each.outcome is Outcome.REFUSED]


def summarise(
    number: int, interactive: float | None, replies: Sequence[Reply], in_router_ms: Sequence[float], plan: Plan
) -> Sample:
    """What counts of one window: answers that ended in it, and requests that came in it."""
    ended = [reply for reply in replies if reply.is_ok and _SETTLED_S <= reply.ended_s < plan.duration_s]
    came = [reply for reply in replies if reply.due_s >= _SETTLED_S]
    refused = [1e3 * reply.latency_s for reply in came if not reply.is_ok]
    interactive_ones = [reply for reply in came if reply.source.startswith(Priority.INTERACTIVE)]
    of_interactive = [1e3 * reply.latency_s for reply in interactive_ones if reply.is_ok]
    by_tenant = [sum(reply.source.endswith(tenant) for reply in ended) for tenant in TENANTS]
    return Sample(
        round=number,
        interactive=interactive,
        num_requests=len(came),
        goodput=len(ended) / (plan.duration_s - _SETTLED_S) / CAPACITY,
        interactive_p50_ms=percentile(of_interactive, 50),
        interactive_p95_ms=percentile(of_interactive, 95),
        interactive_rejected=1 - len(of_interactive) / len(interactive_ones),
        rejected=len(refused) / len(came),
        rejected_p50_ms=percentile(refused, 50) if len(refused) > 1 else None,
        rejected_p99_ms=percentile(refused, 99) if len(refused) > 1 else None,
        in_router_p99_ms=percentile(in_router_ms, 99) if len(in_router_ms) > 1 else None,
        least_share=min(by_tenant) / max(1, sum(by_tenant)),
    )


def percentile(values: Sequence[float], percent: int) -> float:
    """Linear between the nearest two; of at least two values."""
    return quantiles(values, n=100, method="inclusive")[percent - 1]


_ABSOLUTE: Metrics[Sample] = {
    "requests": lambda sample: sample.num_requests,
    "served / capacity": lambda sample: sample.goodput,
    "interactive p50": lambda sample: sample.interactive_p50_ms,
    "interactive p95": lambda sample: sample.interactive_p95_ms,
    "interactive refused": lambda sample: sample.interactive_rejected,
    "refused": lambda sample: sample.rejected,
    "refused p50": lambda sample: sample.rejected_p50_ms or 0,
    "refused p99": lambda sample: sample.rejected_p99_ms or 0,
    "of that in the router": lambda sample: sample.in_router_p99_ms or 0,
    "less served tenant": lambda sample: sample.least_share,
}


def tables(samples: Sequence[Sample], plan: Plan) -> list[Table]:
    """Interactive latency over the idle one of the same round, and all medians."""
    idle = _of(samples, None)
    rows = [_beside_idle(share, _of(samples, share), idle) for share in plan.interactive]
    cases = {"idle": idle} | {
        f"2 x capacity, {share:.0%} interactive": _of(samples, share) for share in plan.interactive
    }
    return [
        Table(
            "Interactive latency over that of the idle model, medians of rounds", ("", "p50", "p95"), tuple(rows)
        ),
        medians("Medians of rounds; times in ms, the rest as parts of 1", cases, _ABSOLUTE),
    ]


def _beside_idle(share: float, busy: Sequence[Sample], idle: Sequence[Sample]) -> tuple[str, str, str]:
    pairs = list(zip(busy, idle, strict=True))
    p50 = median(one.interactive_p50_ms / other.interactive_p50_ms for one, other in pairs)
    p95 = median(one.interactive_p95_ms / other.interactive_p95_ms for one, other in pairs)
    return f"2 x capacity, {share:.0%} interactive", f"{p50:.2f}", f"{p95:.2f}"


def _of(samples: Sequence[Sample], interactive: float | None) -> list[Sample]:
    return sorted((each for each in samples if each.interactive == interactive), key=lambda each: each.round)


def main() -> None:
    """Run it as the command line says and keep the result."""
    standard = Plan()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=standard.num_rounds)
    parser.add_argument("--duration-s", type=float, default=standard.duration_s)
    parser.add_argument("--setting", choices=SETTINGS, default=standard.setting)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    keep(lambda: run(Plan(args.rounds, args.duration_s, setting=args.setting)), args.results)


if __name__ == "__main__":
    main()
