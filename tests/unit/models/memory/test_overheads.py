from __future__ import annotations

import pytest

from models.errors import ConfigError
from models.memory.overheads import MEASURED, Overhead, Overheads, parse_overheads
from models.memory.plan import plan_memory
from models.spec import Limits
from tests.unit.manifests import MINILM

OWN = Overhead(engine="embedding", kind="cpu", host_bytes=1000, source="here")


def test_every_engine_can_be_planned_on_a_cpu_and_says_how_it_was_measured() -> None:
    pairs = [(entry.engine, entry.kind) for entry in MEASURED.entries]
    assert {("transformers", "cpu"), ("embedding", "cpu"), ("onnx", "cpu")} <= set(pairs)
    assert len(set(pairs)) == len(pairs)
    assert all(entry.source and (entry.device_bytes > 0) == (entry.kind == "cuda") for entry in MEASURED.entries)


def test_what_was_measured_here_goes_before_the_table() -> None:
    table = MEASURED.updated(parse_overheads(Overheads(entries=(OWN,)).model_dump_json().encode(), "o.json"))
    assert table.of("embedding", "cpu") == OWN
    assert table.of("onnx", "cpu") == MEASURED.of("onnx", "cpu")
    plan = plan_memory(MINILM, Limits(), "embedding", overheads=table)
    assert (plan.term("runtime").bytes, "here" in plan.term("runtime").formula) == (1000, True)


def test_a_pair_that_was_never_measured_is_named() -> None:
    with pytest.raises(ConfigError, match="the onnx engine needs on a cuda device was never measured"):
        MEASURED.of("onnx", "cuda")


@pytest.mark.parametrize("content", [b"", b"{}", b'{"entries": [{"engine": "embedding"}]}'])
def test_other_content_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigError, match=r"overheads\.json is no table of overheads"):
        parse_overheads(content, "overheads.json")
