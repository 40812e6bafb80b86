"""huggingface_hub itself against a server on a loopback port that speaks the hub's protocol."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import SourceError
from models.hub import HubSource
from models.progress import NoProgress
from models.weight_source import SourceFile
from tests.unit.models.hub_server import COMMIT, HubServer, serve_hub

FILES = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": b"w" * 100_000,
    "pytorch_model.bin": b"pickle",
    "gguf/a.gguf": b"GGUF",
}


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with serve_hub(FILES) as server:
        yield server


@pytest.fixture
def downloads(hub: HubServer) -> list[str]:
    return hub.downloads


@pytest.fixture
def endpoint(hub: HubServer) -> str:
    return hub.endpoint


def test_the_revision_is_resolved_and_files_come_with_their_hashes(endpoint: str) -> None:
    contents = HubSource("org/name", revision="main", endpoint=endpoint).contents()
    assert contents.revision == COMMIT
    weights = SourceFile("model.safetensors", 100_000, hashlib.sha256(b"w" * 100_000).hexdigest())
    assert weights in contents.files
    assert [file.name for file in contents.files] == list(FILES)


def test_only_the_wanted_files_are_downloaded(endpoint: str, downloads: list[str], tmp_path: Path) -> None:
    source = HubSource("org/name", endpoint=endpoint)
    contents = source.contents()
    wanted = [file for file in contents.files if file.name in {"config.json", "model.safetensors"}]
    root = source.fetch(contents, wanted, tmp_path / "scratch", NoProgress())
    assert (root / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert (root / "config.json").read_bytes() == FILES["config.json"]
    assert sorted(downloads) == ["config.json", "model.safetensors"]


def test_bytes_are_reported(endpoint: str, tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []

    class Recorded(NoProgress):
        def advance(self, done_bytes: int, total_bytes: int) -> None:
            reports.append((done_bytes, total_bytes))

    source = HubSource("org/name", inner="model.safetensors", endpoint=endpoint)
    contents = source.contents()
    source.fetch(contents, contents.files, tmp_path, Recorded())
    assert reports[-1] == (100_000, 100_000)


@pytest.mark.parametrize("inner", ["gguf", "gguf/a.gguf"])
def test_a_folder_or_file_inside_the_repository(endpoint: str, tmp_path: Path, inner: str) -> None:
    source = HubSource("org/name", inner=inner, endpoint=endpoint)
    contents = source.contents()
    assert [file.name for file in contents.files] == ["a.gguf"]
    root = source.fetch(contents, contents.files, tmp_path, NoProgress())
    assert (root / "a.gguf").read_bytes() == b"GGUF"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (HubSource("org/absent"), "hf:org/absent: no such repository, or it is private"),
        (HubSource("org/gated"), "hf:org/gated: the repository is gated"),
        (HubSource("org/name", revision="nope"), "hf:org/name@nope: no such revision"),
        (HubSource("org/na--me"), "hf:org/na--me: no such repository"),
        (HubSource("org/name", inner="no.gguf"), "hf:org/name/no.gguf does not exist .*model.safetensors"),
    ],
)
def test_what_is_not_there_is_explained(endpoint: str, source: HubSource, message: str) -> None:
    here = HubSource(source.repo, source.inner, source.revision, endpoint)
    with pytest.raises(SourceError, match=message):
        here.contents()


def test_a_range_is_read_without_the_rest(hub: HubServer) -> None:
    source = HubSource("org/name", endpoint=hub.endpoint)
    contents = source.contents()
    file = next(file for file in contents.files if file.name == "config.json")
    assert source.read(contents, file, 2, 12) == b"model_type"
    assert (hub.downloads, hub.ranges) == ([], [("config.json", 2, 12)])


def test_a_hub_that_knows_no_ranges_is_not_read(tmp_path: Path) -> None:
    with serve_hub(FILES, knows_ranges=False) as hub:
        source = HubSource("org/name", endpoint=hub.endpoint)
        contents = source.contents()
        with pytest.raises(SourceError, match=r"the hub sends model\.safetensors only as a whole"):
            source.read(contents, SourceFile("model.safetensors", 100_000), 0, 8)


def test_a_hub_that_cannot_be_reached_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"http://127.0.0.1:{server.getsockname()[1]}"
    with pytest.raises(SourceError, match="the hub cannot be reached") as caught:
        HubSource("org/name", endpoint=closed).contents()
    assert "use file:" in str(caught.value)
