from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter
from safetensors.numpy import save_file

from models.errors import SourceError
from models.importing import headers
from models.importing.headers import write_header
from models.progress import Progress
from models.safetensors_file import read_header
from models.weight_source import Contents, SourceFile


@dataclass
class Remote:
    """A source that counts what is read of it."""

    content: bytes
    num_bytes: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)

    def contents(self) -> Contents:
        raise NotImplementedError

    def fetch(self, contents: Contents, wanted: object, scratch: Path, progress: Progress, /) -> Path:
        raise NotImplementedError

    def read(self, contents: Contents, file: SourceFile, start: int, stop: int, /) -> bytes:
        self.spans.append((start, stop))
        self.num_bytes += stop - start
        return self.content[start:stop]


def copy_header(content: bytes, path: Path) -> Remote:
    remote = Remote(content)
    write_header(remote, Contents(()), SourceFile(path.name, len(content)), path)
    assert path.stat().st_size == len(content)
    return remote


def safetensors_bytes(folder: Path, num_tensors: int) -> bytes:
    save_file({f"tensor.{i}": np.ones((50, 50), np.float32) for i in range(num_tensors)}, folder / "whole")
    return (folder / "whole").read_bytes()


@pytest.mark.parametrize(("num_tensors", "num_reads"), [(30, 1), (3000, 2)])
def test_a_short_and_a_long_safetensors_header(tmp_path: Path, num_tensors: int, num_reads: int) -> None:
    content = safetensors_bytes(tmp_path, num_tensors)
    remote = copy_header(content, tmp_path / "model.safetensors")
    assert len(remote.spans) == num_reads
    assert remote.num_bytes < len(content) / 2
    assert read_header(tmp_path / "model.safetensors") == read_header(tmp_path / "whole")


def test_the_tensors_are_not_there(tmp_path: Path) -> None:
    copy_header(safetensors_bytes(tmp_path, 30), tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").read_bytes()[-1000:] == bytes(1000)


@pytest.mark.parametrize("content", [b"", b"abc", b"\xff" * 200, (1 << 40).to_bytes(8, "little") + bytes(100)])
def test_what_is_no_safetensors_file_is_found_out_by_its_reader(tmp_path: Path, content: bytes) -> None:
    assert copy_header(content, tmp_path / "model.safetensors").num_bytes == len(content)
    with pytest.raises(SourceError, match="not a whole safetensors file"):
        read_header(tmp_path / "model.safetensors")


def gguf_bytes(folder: Path, num_tokens: int) -> bytes:
    writer = GGUFWriter(folder / "whole", "llama")
    writer.add_token_list([f"token {i}" for i in range(num_tokens)])
    writer.add_tensor("token_embd.weight", np.ones((200, 1000), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return (folder / "whole").read_bytes()


@pytest.mark.parametrize("guess_bytes", [100, 1000, 8000])
def test_a_gguf_header_is_read_until_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, guess_bytes: int
) -> None:
    monkeypatch.setattr(headers, "_GGUF_GUESS_BYTES", guess_bytes)
    content = gguf_bytes(tmp_path, 300)
    remote = copy_header(content, tmp_path / "m.gguf")
    assert remote.num_bytes < 20_000
    read, whole = GGUFReader(tmp_path / "m.gguf"), GGUFReader(tmp_path / "whole")
    assert read.data_offset == whole.data_offset <= remote.num_bytes
    assert list(read.fields) == list(whole.fields)
    assert [each.name for each in read.tensors] == [each.name for each in whole.tensors]


@pytest.mark.parametrize("content", [b"GGUF but no more", b"", b"something else"])
def test_what_is_no_gguf_file_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SourceError, match=r"m\.gguf has no header that can be read"):
        copy_header(content, tmp_path / "m.gguf")


def test_a_gguf_file_that_cannot_be_read_is_not_fetched_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "_GGUF_GUESS_BYTES", 100)
    monkeypatch.setattr(headers, "_GGUF_LARGEST_BYTES", 1000)
    with pytest.raises(SourceError, match="no header"):
        copy_header(b"GGUF" + bytes(100_000), tmp_path / "m.gguf")
