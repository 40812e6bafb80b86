from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import SourceError
from models.hub import HubSource
from models.local_sources import FileSource, PackageSource
from models.object_store import BucketSource
from models.sources import parse_source
from models.weight_source import Source


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("file:/models/x", FileSource("/models/x")),
        ("file:///models/x", FileSource("/models/x")),
        ("file:/models/x/", FileSource("/models/x")),
        ("file:~/x.gguf", FileSource("~/x.gguf")),
        ("package:weights", PackageSource("weights", "")),
        ("package:weights/a/b.onnx", PackageSource("weights", "a/b.onnx")),
        ("hf:org/name", HubSource("org/name")),
        ("hf:org/name@refs/pr/1", HubSource("org/name", revision="refs/pr/1")),
        ("hf:org/name/q/x.gguf@v1", HubSource("org/name", inner="q/x.gguf", revision="v1")),
        ("s3://bucket/a/b", BucketSource("s3://bucket", "a/b")),
        ("gs://bucket/a/", BucketSource("gs://bucket", "a")),
        ("az://container", BucketSource("az://container", "")),
    ],
)
def test_forms(text: str, source: Source) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("pakcage:x/y", "did you mean package:"),
        ("fiel:/x", "did you mean file:"),
        ("/models/x", "file:/absolute/path"),
        ("", "file:/absolute/path"),
        ("file:", "write file:/absolute/path"),
        ("file:models/x", "another folder"),
        ("file://host/x", "another folder"),
        ("package:my-package/x", "the name that Python imports"),
        ("package:pkg/../../etc", "the name that Python imports"),
        ("hf:name", "hf:org/name@revision"),
        ("s3:bucket", "s3://bucket/path"),
        ("gs:///x", "gs://bucket/path"),
    ],
)
def test_errors_name_the_text_and_the_remedy(text: str, remedy: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse_source(text)
    assert text in caught.value.message
    assert caught.value.remedy is not None
    assert remedy in caught.value.remedy


segment = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}[A-Za-z0-9]", fullmatch=True)
inner = st.lists(segment, max_size=3).map("/".join)
sources = st.one_of(
    st.builds(FileSource, inner.map(lambda path: f"/{path}")),
    st.builds(PackageSource, st.from_regex(r"[a-z][a-z_0-9]{0,8}", fullmatch=True), inner),
    st.builds(HubSource, st.builds("{}/{}".format, segment, segment), inner=inner, revision=st.none() | segment),
    st.builds(BucketSource, st.builds("{}://{}".format, st.sampled_from(["s3", "gs", "az"]), segment), inner),
)


@given(sources)
def test_text_of_a_source_parses_to_it(source: Source) -> None:
    assert parse_source(str(source)) == source


@given(st.text() | st.builds("{}:{}".format, st.sampled_from(["file", "package", "hf", "s3"]), st.text()))
def test_any_text_is_a_source_or_a_source_error(text: str) -> None:
    try:
        source = parse_source(text)
    except SourceError:
        return
    assert parse_source(str(source)) == source
