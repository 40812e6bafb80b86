from __future__ import annotations

from cluster.manifest_rows import FILE_COLUMNS, VERSION_COLUMNS, fact_rows, file_rows, version_row
from models.manifest import TensorFacts
from tests.unit.manifests import SMOLLM2


def test_facts_are_written_without_the_marks_of_a_programming_language() -> None:
    tensors = (
        TensorFacts(name="ids", datatype="INT64", shape=(-1, -1)),
        TensorFacts(name="mask", datatype="INT64", shape=(-1,)),
    )
    rows = fact_rows(SMOLLM2.model_copy(update={"inputs": tensors, "outputs": tensors[:1]}))
    assert rows[-3:] == [
        ("input", "ids INT64 [-1, -1]"),
        ("input", "mask INT64 [-1]"),
        ("output", "ids INT64 [-1, -1]"),
    ]
    facts = dict(rows)
    assert facts["architecture.architectures"] == "LlamaForCausalLM"
    assert facts["architecture.tie_word_embeddings"] == "true"
    assert facts["num_parameters"] == "134515008"


def test_rows_have_their_columns() -> None:
    assert dict(zip(VERSION_COLUMNS, version_row(SMOLLM2), strict=True))["parameters"] == "134,515,008"
    (row,) = file_rows(SMOLLM2)
    assert dict(zip(FILE_COLUMNS, row, strict=True)) == {
        "file": "model.safetensors",
        "size": "513.2 MiB",
        "sha256": "ab" * 32,
    }
