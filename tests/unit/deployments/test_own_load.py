"""What a replica tells of its load."""

from __future__ import annotations

from deployments.own_load import own_load
from deployments.scaling.batch_times import BatchTimes
from deployments.scaling.load import BatchUse, ReplicaLoad, TokenUse
from deployments.work_meter import Work
from models.memory.plan import plan_memory
from models.spec import Limits
from models.types import EngineStats
from tests.unit.manifests import MINILM, SMOLLM2

WORK = Work(
    num_waiting=5, num_running=16, finished_per_s=2, service_s=4, queue_s=0.2, busy_share=0.5, prompt_tokens=40,
    read_tokens_per_s=900,
)  # fmt: skip


def test_generation_is_told_as_the_engine_has_it() -> None:
    plan = plan_memory(SMOLLM2, Limits(max_model_len=2048, max_num_seqs=4, page_size=16), "transformers")
    stats = EngineStats(3, 2, 70, num_kv_pages_used=10, num_kv_pages=plan.num_kv_pages)
    tokens = TokenUse(160, plan.num_kv_pages * 16, 70, 40, 900)
    assert own_load(plan, stats, WORK, BatchTimes()) == ReplicaLoad("", 0, 3, 2, 4, 2, 4, tokens)


def test_batches_are_told_as_the_queue_in_front_of_the_engine_has_them() -> None:
    plan = plan_memory(MINILM, Limits(max_model_len=128, max_batch_size=32), "embedding")
    times = BatchTimes()
    untold = own_load(plan, EngineStats(), WORK, times)
    assert untold == ReplicaLoad("", 0, 16, 5, 32, 2, 4, batches=BatchUse(0.5, 0.2))
    times.learn(2, 0.1)
    told = own_load(plan, EngineStats(), WORK, times).batches
    assert told == BatchUse(0.5, 0.2, 0.0, 0.05)
