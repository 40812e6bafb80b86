"""The manifest is strict about what it holds, and says the same after being written and read."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from models.manifest import FileEntry, Manifest, Name, RelativePath, Version
from models.types import VersionId
from tests.unit.manifests import ADDER, MINILM, SMOLLM2

DIGEST = "0" * 64


@pytest.mark.parametrize("manifest", [SMOLLM2, MINILM, ADDER])
def test_a_manifest_survives_being_written_and_read(manifest: Manifest) -> None:
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest


def test_it_knows_its_id_and_size() -> None:
    files = (
        FileEntry(path="a.onnx", size_bytes=3, sha256=DIGEST),
        FileEntry(path="sub/b", size_bytes=4, sha256=DIGEST),
    )
    manifest = ADDER.model_copy(update={"files": files})
    assert (manifest.id, manifest.size_bytes) == (VersionId("adder", "1"), 7)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("colour", "blue"),
        ("schema_version", 2),
        ("name", "../up"),
        ("name", "m\n"),
        ("version", ""),
        ("task", "dream"),
        ("format", "pickle"),
        ("num_parameters", -1),
        ("architecture", {"model_type": "llama"}),
    ],
)
def test_what_it_does_not_know_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError, match=field):
        Manifest.model_validate(SMOLLM2.model_dump() | {field: value})


def test_it_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SMOLLM2.name = "other"  # type: ignore[misc]  # that is what is tested


@pytest.mark.parametrize("path", ["", "/etc/passwd", "..", "a/../b", "a/../../b", "a\\b", "./a", "a//b", "a/"])
def test_a_path_that_may_leave_the_folder_is_refused(path: str) -> None:
    with pytest.raises(ValidationError, match="is not a plain relative path"):
        FileEntry(path=path, size_bytes=0, sha256=DIGEST)


@given(st.lists(st.text("ab.-_é ", min_size=1).filter(lambda part: part not in (".", "..")), min_size=1))
def test_plain_relative_paths_are_kept_as_they_are(parts: list[str]) -> None:
    path = "/".join(parts)
    assert TypeAdapter(RelativePath).validate_python(path) == path


@pytest.mark.parametrize("digest", ["", "0" * 63, "0" * 65, "G" * 64, "A" * 64, "0" * 64 + "\n"])
def test_a_malformed_checksum_is_refused(digest: str) -> None:
    with pytest.raises(ValidationError, match="sha256"):
        FileEntry(path="a", size_bytes=0, sha256=digest)


@given(st.text("aZ0._-@/\n é", max_size=40))
def test_names_and_versions_are_those_of_an_id(text: str) -> None:
    """Pydantic checks them when YAML comes in, VersionId everywhere else: they must agree."""
    assert accepts(TypeAdapter(Name).validate_python, text) == accepts(lambda name: VersionId(name, "1"), text)
    assert accepts(TypeAdapter(Version).validate_python, text) == accepts(lambda it: VersionId("m", it), text)


def accepts(check: Callable[[str], object], text: str) -> bool:
    try:
        check(text)
    except ValueError:  # pydantic's ValidationError is one too
        return False
    return True
