"""Any manifest survives the way through its file."""

from __future__ import annotations

from datetime import UTC

from hypothesis import given
from hypothesis import strategies as st

from models.local_store import read_manifest
from models.manifest import EmbeddingFacts, FileEntry, Manifest, TensorFacts, TokenizerFacts
from models.types import NAME_PATTERN, VERSION_PATTERN, Pooling, Task, WeightFormat

texts = st.text(max_size=12)
sizes = st.integers(0, 2**50)
segments = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,6}", fullmatch=True)
paths = st.lists(segments, min_size=1, max_size=3).map("/".join)
entries = st.builds(FileEntry, path=paths, size_bytes=sizes, sha256=st.from_regex(r"[0-9a-f]{64}", fullmatch=True))
tensors = st.builds(TensorFacts, name=texts, datatype=texts, shape=st.lists(st.integers(-1, 9)).map(tuple))
embeddings = st.builds(
    EmbeddingFacts,
    pooling=st.sampled_from(Pooling),
    normalize=st.booleans(),
    dimension=st.integers(1, 4096),
    max_tokens=st.integers(1, 4096),
)
manifests = st.builds(
    Manifest,
    name=st.from_regex(NAME_PATTERN, fullmatch=True).filter(str.isascii),
    version=st.from_regex(VERSION_PATTERN, fullmatch=True).filter(str.isascii),
    source=texts,
    revision=st.none() | texts,
    tokenizer_source=st.none() | texts,
    format=st.sampled_from(WeightFormat),
    task=st.sampled_from(Task),
    files=st.lists(entries, max_size=3).map(tuple),
    dtype=texts,
    num_parameters=sizes,
    weight_bytes=sizes,
    architecture=st.none(),
    tokenizer=st.none() | st.builds(TokenizerFacts, eos_token=st.none() | texts),
    embedding=st.none() | embeddings,
    inputs=st.lists(tensors, max_size=2).map(tuple),
    outputs=st.lists(tensors, max_size=2).map(tuple),
    licence=st.none() | texts,
    created=st.datetimes(timezones=st.just(UTC)),
)


@given(manifests)
def test_a_manifest_survives_its_file(manifest: Manifest) -> None:
    assert read_manifest(manifest.model_dump_json(indent=2).encode(), "m") == manifest
