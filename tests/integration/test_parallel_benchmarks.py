"""The processes that the benchmarks of divided models start: they answer as one, and end in order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.parallel_models import on_cpu
from benchmarks.parallel_orders import Window
from benchmarks.parallel_ranks import running
from benchmarks.parallel_throughput import take
from benchmarks.seeded_models import MAX_TOKENS, write_llama
from models.errors import StowageError
from models.importing.importer import import_model
from models.local_store import LocalStore
from models.progress import NoProgress

WINDOW = Window(0, clients=3, num_turns=2, max_tokens=8)


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("small")
    write_llama(folder / "source", seed=0, max_tokens=8 * MAX_TOKENS)
    found = {"model": "small", "source": f"file:{folder / 'source'}", "task": "generate",
             "store": str(folder / "store")}  # fmt: skip
    import_model(on_cpu(found), LocalStore(folder / "store"), NoProgress())
    return {**found}


def test_ranks_answer_as_one_process_and_say_what_they_did(where: dict[str, object]) -> None:
    with running(on_cpu(where)) as whole:
        expected = take("small", "one process", whole, WINDOW)
    degree = {"tensor": 2, "pipeline": 2}
    with running(on_cpu(where, parallel=degree)) as ranks:
        found = take("small", "both", ranks, WINDOW)
    assert found.digests == expected.digests
    assert found.cpu_ms_per_token > 0
    assert len(found.spent) == len(ranks.pids) == 4
    assert all(0 < each["in collectives"] < 1 for each in found.spent)
    assert all("waits for hidden states" in each for each in found.spent[:2])
    assert not any(Path(f"/proc/{pid}").exists() for pid in ranks.pids)


def test_a_process_that_ends_early_is_told(where: dict[str, object]) -> None:
    with running(on_cpu(where)) as whole:
        os.kill(whole.pids[0], 9)
        with pytest.raises(StowageError, match="has ended"):
            whole.load(WINDOW)
