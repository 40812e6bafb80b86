from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.parallel_models import on_cpu
from benchmarks.parallel_orders import Answered, Look, Setup, Spent, Window
from benchmarks.parallel_rank import RankUnderTest
from benchmarks.seeded_models import MAX_TOKENS, write_llama
from models.importing.importer import import_model
from models.local_store import LocalStore
from models.progress import NoProgress


@pytest.fixture
def rank(tmp_path: Path) -> RankUnderTest:
    write_llama(tmp_path / "source", seed=0, max_tokens=8 * MAX_TOKENS)
    where = {"model": "small", "source": f"file:{tmp_path / 'source'}", "task": "generate",
             "store": str(tmp_path / "store"), "limits": {"max_num_seqs": 2}}  # fmt: skip
    args = on_cpu(where)
    import_model(args, LocalStore(tmp_path / "store"), NoProgress())
    return RankUnderTest(Setup(args, 0, None, "cpu"))


def test_a_window_counts_what_the_engine_generates(rank: RankUnderTest) -> None:
    window = Window(0, clients=2, num_turns=2, max_tokens=4)
    first, again = rank.obey(window), rank.obey(window)
    assert isinstance(first, Answered)
    assert isinstance(again, Answered)
    assert 4 <= first.num_tokens <= 16
    assert 0 < first.first_token_s < first.elapsed_s
    assert len(set(first.digests)) == 4
    assert again.digests == first.digests
    looked = rank.obey(Look())
    assert isinstance(looked, Spent)
    assert looked.collectives_s == ()
    rank.close()
