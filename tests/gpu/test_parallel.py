"""Two tensor ranks on one card, over gloo, against the whole model on that card: the same tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.parallel_models import on_cpu
from benchmarks.parallel_orders import Window
from benchmarks.parallel_ranks import running
from benchmarks.seeded_models import MAX_TOKENS, write_llama
from models.importing.importer import import_model
from models.local_store import LocalStore
from models.progress import NoProgress

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")


def test_two_ranks_on_one_card_answer_as_one_process(tmp_path: Path) -> None:
    """Not over nccl, which refuses two ranks on one card; not in stages, as gloo sends nothing from a GPU."""
    write_llama(tmp_path / "source", seed=0, max_tokens=8 * MAX_TOKENS)
    where = {"model": "small", "source": f"file:{tmp_path / 'source'}", "task": "generate",
             "store": str(tmp_path / "store")}  # fmt: skip
    args = on_cpu(where)
    import_model(args, LocalStore(tmp_path / "store"), NoProgress())
    window = Window(0, clients=8, num_turns=2, max_tokens=32)
    with running(args, "cuda:0") as whole, running(on_cpu(where, parallel={"tensor": 2}), "cuda:0") as ranks:
        assert ranks.load(window).digests == whole.load(window).digests
