from __future__ import annotations

import json
from itertools import product

from benchmarks.beside_litellm import BODY, CONNECTIONS, SETTING, tables
from benchmarks.litellm_proxy import proxy_config
from benchmarks.windows import Sample

P50_MS = {"stowage": 12.0, "litellm": 30.0, "bare": 10.0}


def samples() -> list[Sample]:
    return [
        Sample(
            SETTING, number, name, connections, 100 / P50_MS[name], P50_MS[name] + number, 40, P50_MS[name], 0.05
        )
        for name, number, connections in product(P50_MS, (1, 0, 2), CONNECTIONS)
    ]


def test_throughput_is_divided_and_latency_is_what_is_added_to_the_bare_ingress() -> None:
    beside, added, absolute = tables(samples())
    assert beside.rows[0][1] == "2.50 (2.50-2.50)"
    assert added.rows[:2] == (
        ("1 connections, stowage", "2.00", "0.00", "2.00"),
        ("1 connections, litellm", "20.00", "0.00", "20.00"),
    )
    assert len(absolute.rows) == len(P50_MS) * len(CONNECTIONS)


def test_the_proxy_knows_the_model_that_is_asked_for() -> None:
    config = proxy_config("http://127.0.0.1:1/v1", "sk-x")
    assert config["model_list"] == [
        {
            "model_name": json.loads(BODY)["model"],
            "litellm_params": {"model": "openai/noop", "api_base": "http://127.0.0.1:1/v1", "api_key": "none"},
        }
    ]
    assert config["general_settings"] == {"master_key": "sk-x"}
