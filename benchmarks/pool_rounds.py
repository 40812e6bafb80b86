"""The pool benchmark at work: two applications in one Ray, asked in turn by this process."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import ray
from pydantic import ByteSize
from ray import serve
from ray.serve.handle import DeploymentHandle

from benchmarks.multiplexed import NUM_MODELS, Multiplexed
from benchmarks.pool_load import GetClient, Request, Stream, ask, ask_all, ask_for, freeze
from benchmarks.pool_models import NUM_REAL, Case, Subject, write_subjects
from benchmarks.pool_samples import Effort, Found, Latencies, ReplicaSample, SideAnswers, Window
from deployments.handles import ServeClient
from deployments.importing import ensure_imported
from deployments.live_nodes import live_nodes
from deployments.options import pool_options
from deployments.planning import plan_model
from deployments.pool.rendezvous import rank
from deployments.pool.warm_up import plan_warm_up
from deployments.pool_app import build_pool
from deployments.pool_args import PoolArgs
from deployments.pool_replica import PoolStats
from models.manifest import Manifest
from models.memory.plan import MemoryPlan
from models.memory.pool_plan import plan_pool
from models.process_memory import read_process_memory

SIDES = ("pool", "multiplexed")
NUM_REPLICAS = 2
NUM_WARM = 3
PAUSE_S = 0.1


class Sides:
    """The two applications, and a client for each model of each."""

    def __init__(self) -> None:
        self._handles = {side: serve.get_app_handle(side) for side in SIDES}
        self._clients: dict[tuple[str, str], ServeClient] = {}

    def clients(self, side: str) -> GetClient:
        """Where the models of one side are asked."""

        def get(case: Case) -> ServeClient:
            key = side, str(case.version)
            if key not in self._clients:
                self._clients[key] = ServeClient(case.version, self._handles[side], is_pooled=True)
            return self._clients[key]

        return get

    async def pool_stats(self) -> dict[str, PoolStats]:
        """Of every replica of the pool: a call for no model goes to any of them."""
        handle: DeploymentHandle[Any] = self._handles["pool"].options(method_name="stats")
        found: dict[str, PoolStats] = {}
        while len(found) < NUM_REPLICAS:
            stats: PoolStats = await handle.remote()
            found[stats.replica] = stats
        return found


def measure(effort: Effort) -> Found:
    """Write and import the models, start both sides, ask both."""
    with tempfile.TemporaryDirectory() as name, _local_ray():
        folder = Path(name)
        subjects = write_subjects(folder)
        args = _pool_args(subjects, folder / "store")
        cases = [_case(args, index, subject) for index, subject in enumerate(subjects)]
        print("starting both sides", flush=True)
        _start(args)
        return asyncio.run(_ask_both(Sides(), cases, args, effort))


@contextmanager
def _local_ray() -> Iterator[None]:
    ray.init(address="local", log_to_driver=False, include_dashboard=False)
    try:
        yield
    finally:
        ray.shutdown()


def _pool_args(subjects: Sequence[Subject], store: Path) -> PoolArgs:
    """A budget of what the runtime needs and NUM_MODELS random models of mean size."""
    args = PoolArgs(
        name="small",
        memory=ByteSize(1),
        models=tuple(subject.spec for subject in subjects),
        num_replicas=NUM_REPLICAS,
        num_cpus=0.1,
        store=str(store),
    )
    pool = plan_pool(*_plans(args), frozenset(), 1 << 50)
    random = [pool.sizes[subject.spec.id] for subject in subjects[NUM_REAL:]]
    memory = pool.budget_bytes - pool.room_bytes + NUM_MODELS * sum(random) // len(random)
    return args.model_copy(update={"memory": ByteSize(memory)})


def _plans(args: PoolArgs) -> tuple[list[Manifest], list[MemoryPlan]]:
    nodes, models = live_nodes(), args.model_args()
    manifests = [ensure_imported(model).manifest for model in models]
    return manifests, [plan_model(*each, nodes) for each in zip(models, manifests, strict=True)]


def _case(args: PoolArgs, index: int, subject: Subject) -> Case:
    return subject.case(ensure_imported(args.model_args()[index]).folder, seed=index)


def _start(args: PoolArgs) -> None:
    """The pool as ``serve run`` would build it; the other side with the same arguments and options."""
    serve.run(build_pool(args), name="pool", route_prefix=None)
    manifests, plans = _plans(args)
    plan = plan_pool(manifests, plans, args.pinned, int(args.memory))
    deployment = serve.deployment(**pool_options(args))(Multiplexed)
    serve.run(deployment.bind(args, plan, plan_warm_up(manifests, plans)), name="multiplexed", route_prefix=None)


async def _ask_both(sides: Sides, cases: Sequence[Case], args: PoolArgs, effort: Effort) -> Found:
    freeze()
    answers = []
    for side in SIDES:
        print(f"{side}: {effort.num_requests} requests", flush=True)
        asked = await ask_all(cases, sides.clients(side), effort.num_requests, effort.num_clients)
        answers.append(SideAnswers(side, asked))
    asked_of = {"pool": _on_one_replica(cases, sorted(await sides.pool_stats())), "multiplexed": cases}
    warm = next(case for case in asked_of["pool"] if case.version.name.startswith("bert"))
    streams = {
        side: ray.remote(Stream).options(num_cpus=0).remote(partial(_connect, side), PAUSE_S) for side in SIDES
    }
    windows = []
    for number in range(effort.num_rounds):
        for side in SIDES if number % 2 else reversed(SIDES):
            print(f"round {number}, {side}", flush=True)
            others = [case for case in asked_of[side] if case is not warm]
            windows.append(await _window(side, warm, others, sides.clients(side), streams[side], effort.window_s))
    stats = await sides.pool_stats()
    return Found(answers, windows, [_measured(each, args) for each in stats.values()])


def _connect(side: str) -> GetClient:
    return Sides().clients(side)


def _on_one_replica(cases: Sequence[Case], replicas: Sequence[str]) -> list[Case]:
    """The models of that replica of the pool which has most of them."""
    by_replica: dict[str, list[Case]] = {replica: [] for replica in replicas}
    for case in cases:
        by_replica[rank(str(case.version), replicas)[0]].append(case)
    return max(by_replica.values(), key=len)


async def _window(
    side: str, warm: Case, others: Sequence[Case], get_client: GetClient, stream: Any, duration_s: float
) -> Window:
    """``stream`` is the actor that asks the others."""
    stay = [case for case in others if case.is_random][:NUM_WARM]

    async def beside(asked: Sequence[tuple[Case, Request]]) -> Latencies:
        for case in (*stay, warm):
            await ask(get_client(case), case.shortest, f"{case.version}-before")
        await stream.start.remote(asked)
        spans = await ask_for(get_client(warm), warm, duration_s)
        return Latencies.of(spans, await stream.stop.remote())

    return Window(
        side,
        idle=Latencies.of(await ask_for(get_client(warm), warm, duration_s)),
        beside_warm=await beside([(case, case.shortest) for case in stay]),
        beside_loads=await beside([(case, case.refused) for case in others]),
        beside_cold=await beside([(case, case.shortest) for case in others]),
    )


def _measured(stats: PoolStats, args: PoolArgs) -> ReplicaSample:
    seen = read_process_memory(Path(args.store), Path(f"/proc/{stats.pid}"))
    return ReplicaSample(
        totals=dict(stats.totals),
        num_resident=len(stats.resident),
        budget_bytes=int(args.memory),
        planned_bytes=int(args.memory) - stats.room_bytes + stats.taken_bytes,
        measured_bytes=seen.total_bytes,
    )
