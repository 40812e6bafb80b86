"""What the engine decides before there is a server; tests/integration/test_vllm_engine.py has the real one."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from dataclasses import replace
from pathlib import Path

import pytest

from models.engines.base import EngineSettings
from models.engines.vllm import VllmEngine, end_tokens
from models.errors import ConfigError, EngineError
from models.types import GenerationRequest, SamplingParams
from tests.unit.models.engines.tiny_llama import write_tiny_llama

SETTINGS = EngineSettings(max_model_len=64, page_size=16)
# In vLLM's place: started, asked and ordered as it is. While it sleeps it cannot answer.
SERVER = """
import json, os, sys
from pathlib import Path
from aiohttp import web
socket, log = sys.argv[sys.argv.index("--uds") + 1], Path(__file__).with_suffix(".log")
asleep = False

async def generate(request):
    assert not asleep
    say("generate")
    event = {"choices": [{"token_ids": [5, 6, 7], "finish_reason": "length"}]}
    return web.Response(text="data: " + json.dumps(event) + "\\n\\n")

async def sleep(request):
    return change(True, "sleep " + request.query["level"])

async def wake(request):
    return change(False, "wake")

def change(sleeps, said):
    global asleep
    asleep = sleeps
    status = 500 if log.with_suffix(".broken").exists() else 200
    say(said)
    return web.Response(status=status, text="out of memory")

def say(what):
    with log.open("a") as file:
        print(what, file=file)

async def health(request):
    return web.Response()

app = web.Application()
app.add_routes([web.get("/health", health), web.post("/inference/v1/generate", generate)])
if "--enable-sleep-mode" in sys.argv and os.environ.get("VLLM_SERVER_DEV_MODE") == "1":
    app.add_routes([web.post("/sleep", sleep), web.post("/wake_up", wake)])
web.run_app(app, path=socket, print=None)
"""


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[VllmEngine]:
    """One that sleeps at once when it has nothing to do. It is closed in the loop in which it gives orders."""
    tiny = write_tiny_llama(tmp_path)
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\n{SERVER}", encoding="utf-8")
    python.chmod(0o700)
    python.with_suffix(".log").touch()
    settings = replace(SETTINGS, device="cuda:0", vllm_python=python, sleep_after_s=0.01)
    with closing(VllmEngine(tiny.folder, tiny.manifest, settings)) as started:
        yield started


async def answer(engine: VllmEngine) -> str:
    request = GenerationRequest("r", "Once", SamplingParams(max_tokens=3))
    async with aclosing(engine.generate(request)) as chunks:
        return "".join([chunk.text async for chunk in chunks])


async def said(folder: Path, num_lines: int) -> list[str]:
    """What the server has been told, once it is so much."""
    lines: list[str] = []
    while len(lines) < num_lines:
        await asyncio.sleep(0.01)
        lines = (folder / "python.log").read_text(encoding="utf-8").splitlines()
    return lines


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"config": 2}, {2, 9}),
        ({"config": 2, "generation_config": [3, 4]}, {3, 4, 9}),
        ({"config": None}, {9}),
    ],
)
def test_a_generation_ends_at_every_token_that_the_model_names(
    tmp_path: Path, files: dict[str, object], expected: set[int]
) -> None:
    for name, ids in files.items():
        content = {"model_type": "llama", "eos_token_id": ids}
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    assert end_tokens(tmp_path, 9) == expected


async def test_it_sleeps_when_there_is_nothing_to_do_and_is_woken_to_answer(
    tmp_path: Path, engine: VllmEngine
) -> None:
    engine.check()
    assert await said(tmp_path, 1) == ["sleep 1"]
    text = await answer(engine)
    assert text
    assert await said(tmp_path, 4) == ["sleep 1", "wake", "generate", "sleep 1"]
    assert await answer(engine) == text


async def test_one_that_does_not_wake_fails_requests_and_health_checks(tmp_path: Path, engine: VllmEngine) -> None:
    engine.check()
    await said(tmp_path, 1)
    (tmp_path / "python.broken").touch()
    with pytest.raises(EngineError, match="vLLM answers 500 to /wake_up: out of memory"):
        await answer(engine)
    assert engine.stats().num_running == 0
    with pytest.raises(EngineError, match="sleep or to wake has failed: vLLM answers 500"):
        engine.check()


def test_without_an_interpreter_nothing_is_started(tmp_path: Path) -> None:
    tiny = write_tiny_llama(tmp_path)
    with pytest.raises(ConfigError, match="vllm_python None is no interpreter on this node"):
        VllmEngine(tiny.folder, tiny.manifest, SETTINGS)
