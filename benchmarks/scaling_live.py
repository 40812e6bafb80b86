"""Measure a real engine, replay a load at it, and simulate the same: ``python -m benchmarks.scaling_live``.

What the simulation of autoscaling rests on is when a replica's tokens come. Steps are timed with idle and busy
engines, a line is laid through them, and the model made of it is asked to foretell another load.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, linear_regression, quantiles
from typing import cast

from benchmarks.record import RESULTS, Record, keep, this_machine
from benchmarks.scaling_engine import EngineModel, Job, SimulatedEngine
from benchmarks.scaling_traces import Made, Trace, recorded
from benchmarks.tables import Table
from models.engines.base import EngineSettings, GenerationEngine
from models.engines.registry import create_engine
from models.store import DEFAULT_STORE, open_store
from models.types import GenerationRequest, SamplingParams, VersionId

_SETTINGS = EngineSettings(
    max_model_len=512, max_num_seqs=8, max_batch_tokens=256, page_size=32, num_kv_pages=128, num_threads=1
)
_COUNTS, _PROMPTS, _ANSWER, _REPEATS = (1, 2, 4, 8), (32, 128, 256), 17, 2
_TOKEN = 905  # any word


@dataclass(frozen=True, slots=True)
class Sample:
    """One request of the replay, as it was and as it was foretold; seconds, ``arrived`` since the replay began."""

    arrived: float
    prompt_tokens: int
    output_tokens: int
    first_s: float
    whole_s: float
    foretold_first_s: float
    foretold_whole_s: float


async def ask(engine: GenerationEngine, name: str, prompt_tokens: int, output_tokens: int) -> Job:
    """Of one request to the engine, by a clock of its own."""
    job = Job(time.perf_counter(), prompt_tokens, 0)
    sampling = SamplingParams(max_tokens=output_tokens, temperature=0.0)
    async for chunk in engine.generate(GenerationRequest(name, (_TOKEN,) * prompt_tokens, sampling)):
        if math.isnan(job.first_token):
            job.first_token = time.perf_counter()
        job.output_tokens += chunk.num_tokens
    job.ended = time.perf_counter()
    return job


async def calibrate(engine: GenerationEngine) -> EngineModel:
    """The lines through the times of steps, by sequences, and of first tokens, by tokens of the prompt."""
    decoding: list[tuple[int, float]] = []
    reading: list[tuple[int, float]] = []
    for turn in range(_REPEATS):
        for count in _COUNTS:
            jobs = await asyncio.gather(*(ask(engine, f"d{turn}-{count}-{n}", 8, _ANSWER) for n in range(count)))
            decoding += [
                (count, (job.ended - job.first_token) / (job.output_tokens - 1))
                for job in jobs
                if job.output_tokens > 8
            ]
        for size in _PROMPTS:
            job = await ask(engine, f"r{turn}-{size}", size, 1)
            reading.append((size, job.first_token - job.arrived))
    step = linear_regression(*zip(*decoding, strict=True))
    token_s = linear_regression(*zip(*reading, strict=True)).slope
    return EngineModel(
        max_num_seqs=_SETTINGS.max_num_seqs,
        max_tokens=_SETTINGS.num_kv_pages * _SETTINGS.page_size,
        max_batch_tokens=_SETTINGS.max_batch_tokens,
        step_s=max(0.0, step.intercept),
        sequence_s=max(0.0, step.slope),
        token_s=token_s,
    )


async def replay(engine: GenerationEngine, trace: Trace) -> list[Job]:
    """Requests come when they are due, however slow the answers are."""
    began = time.perf_counter()

    async def later(number: int) -> Job:
        request = trace.requests[number]
        await asyncio.sleep(max(0.0, began + request.at - time.perf_counter()))
        job = await ask(engine, f"t{number}", request.prompt_tokens, request.output_tokens)
        first, ended = job.first_token - began, job.ended - began
        return Job(request.at, job.prompt_tokens, job.output_tokens, request.at, first, ended)

    return list(await asyncio.gather(*map(later, range(len(trace.requests)))))


def foretell(model: EngineModel, lived: Sequence[Job]) -> list[Job]:
    """The same requests, with as many tokens as each turned out to have, in the simulation."""
    jobs = [Job(each.arrived, each.prompt_tokens, max(1, each.output_tokens)) for each in lived]
    engine, number = SimulatedEngine(model), 0
    while number < len(jobs) or engine.next_event < math.inf:
        if number < len(jobs) and jobs[number].arrived <= engine.next_event:
            engine.add(jobs[number], jobs[number].arrived)
            number += 1
        else:
            engine.advance()
    return jobs


def load_of(model: EngineModel, length_s: float) -> Trace:
    """A third of the time at half of what the engine can, then at 1.5 times, then at half again.

    Lengths are those of Azure's conversations, an eighth of them and no more than the engine takes.
    """
    conv = recorded("conv")
    short = tuple(
        type(each)(each.at, min(256, max(8, each.prompt_tokens // 8)), min(64, max(4, each.output_tokens // 8)))
        for each in conv.requests
    )
    prompt, answer = fmean(each.prompt_tokens for each in short), fmean(each.output_tokens for each in short)
    places = model.max_num_seqs
    most = places / (answer * model.step_time_s(places) + places * prompt * model.token_s)
    rates = ((0.0, most / 2), (length_s / 3, 1.5 * most), (2 * length_s / 3, most / 2))
    return Made("replay", rates, length_s, Trace("short", short), seed=1).trace()


async def measure(engine: GenerationEngine, length_s: float) -> tuple[EngineModel, list[Sample]]:
    """Calibrate, replay, foretell."""
    await calibrate(engine)  # the first time everything is slow
    model = await calibrate(engine)
    lived = await replay(engine, load_of(model, length_s))
    samples = [
        Sample(
            job.arrived,
            job.prompt_tokens,
            job.output_tokens,
            job.first_token - job.arrived,
            job.ended - job.arrived,
            other.first_token - other.arrived,
            other.ended - other.arrived,
        )
        for job, other in zip(lived, foretell(model, lived), strict=True)
    ]
    return model, samples


def run(length_s: float, store: str) -> Record:
    """With SmolLM2 from the store."""
    machine = this_machine()
    version = VersionId("smollm2-135m", "1")
    stored = open_store(store).get(version)
    engine = cast("GenerationEngine", create_engine("transformers", stored.folder, stored.manifest, _SETTINGS))
    try:
        model, samples = asyncio.run(measure(engine, length_s))
    finally:
        engine.close()
    return Record(
        name="scaling-live",
        claim="What the simulated engine foretells of a load, beside what a real one made of it.",
        method=[
            "SmolLM2-135M on one thread, by the engine of a replica without Ray: 8 places, 256 tokens a step",
            f"Calibrated just before: {model}",
            "The load: at half of what that can serve, at 1.5 times, at half again, a third of the time each",
        ],
        tables=[_table(samples, length_s)],
        samples=samples,
        machine=machine,
    )


def _table(samples: Sequence[Sample], length_s: float) -> Table:
    rows = []
    for name, start, end in (
        ("at half", 0.0, 1 / 3),
        ("at 1.5 times", 1 / 3, 2 / 3),
        ("at half again", 2 / 3, 1.0),
    ):
        some = [each for each in samples if start * length_s <= each.arrived < end * length_s]
        for what in ("first", "whole"):
            real, foretold = ([getattr(each, f"{way}{what}_s") for each in some] for way in ("", "foretold_"))
            rows.append((f"{name}: {what}", str(len(some)), *_pairs(real, foretold)))
    return Table("Seconds, real and foretold", ("", "requests", "p50", "p90", "p95"), tuple(rows))


def _pairs(real: Sequence[float], foretold: Sequence[float]) -> list[str]:
    lived, told = (quantiles(values, n=20) for values in (real, foretold))
    return [f"{lived[index]:.2f}, {told[index]:.2f}" for index in (9, 17, 18)]


def main() -> None:
    """Run it and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="of the replay")
    parser.add_argument("--store", default=DEFAULT_STORE)
    parser.add_argument("--results", type=Path, default=RESULTS)
    args = parser.parse_args()
    keep(lambda: run(args.seconds, args.store), args.results)


if __name__ == "__main__":
    main()
