from __future__ import annotations

from benchmarks.chat_windows import Sample, prompts
from benchmarks.settings import SETTINGS
from benchmarks.token_throughput import CLIENTS, CONFIG, MODEL, NUM_PAGES, Plan, method, tables
from cluster.config.environment import SERVE_DEFAULTS
from cluster.config.serve_config import load_config


def sample(target: str, tokens_per_s: float, digests: tuple[str, ...] = ("a",), *, clients: int = 1) -> Sample:
    return Sample(
        round=0,
        target=target,
        clients=clients,
        prompt_tokens=10,
        completion_tokens=64,
        tokens_per_s=tokens_per_s,
        first_token_s=0.5,
        cpu_ms_per_token=20,
        idle_cores=0.1,
        digests=digests,
    )


def test_no_prompt_begins_like_another() -> None:
    all_prompts = [prompt for number in range(5) for clients in CLIENTS for prompt in prompts(number, clients)]
    assert len({prompt.split(".")[0] for prompt in all_prompts}) == len(all_prompts)


def test_the_other_server_gets_the_pages_that_the_plan_gives_ours() -> None:
    (args,) = load_config(CONFIG).model_args
    assert args.id == MODEL
    assert args.limits.max_model_len is not None
    assert args.limits.max_num_seqs * args.limits.max_model_len == NUM_PAGES * args.limits.page_size


def test_ours_is_divided_by_theirs() -> None:
    samples = [
        sample(target, speed, clients=clients)
        for clients in CLIENTS
        for target, speed in (("transformers", 10), ("stowage", 20))
    ]
    table, medians = tables(samples)
    assert [row[1] for row in table.rows] == ["2.00 (2.00-2.00)"] * len(CLIENTS)
    # 20 ms, of which 0.1 cores x 1/20 s would have been used anyway: 15 ms
    assert medians.rows[0] == ("1 clients, stowage", "20", "0.5", "20", "15")


def test_answers_that_differ_are_counted() -> None:
    lines = method(Plan(), [sample("stowage", 1, ("a", "b")), sample("transformers", 1, ("a", "c"))])
    assert "Answers: 1 of 2 are the same text; 64 and 64 tokens" in lines


def test_what_is_called_stowage_is_what_stowage_serve_sets() -> None:
    assert SETTINGS["stowage"] == {**SERVE_DEFAULTS, "STOWAGE_ROUTERS": "router,router-without-keys"}
