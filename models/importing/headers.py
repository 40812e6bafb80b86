"""Fetch the header of a weight file and nothing else."""

from __future__ import annotations

from pathlib import Path

from models.errors import SourceError
from models.weight_source import Contents, Source, SourceFile

_SAFETENSORS_GUESS_BYTES = 128 << 10
_SAFETENSORS_LARGEST_BYTES = 100_000_000  # The library's own bound.
_GGUF_GUESS_BYTES = 16 << 20
_GGUF_LARGEST_BYTES = 256 << 20


def write_header(source: Source, contents: Contents, file: SourceFile, path: Path) -> None:
    """Write to ``path`` a file as large as ``file`` that holds only its header; the rest is a hole.

    Readers that map the file take it for the whole, as long as they look at no tensor. SourceError when the source
    cannot be read, or holds no such header.
    """
    read_bytes = _read_gguf if file.name.lower().endswith(".gguf") else _read_safetensors
    path.touch(exist_ok=False)
    read_bytes(source, contents, file, path)


def _read_safetensors(source: Source, contents: Contents, file: SourceFile, path: Path) -> None:
    """Eight bytes give the length of the JSON that follows them."""
    head = source.read(contents, file, 0, min(_SAFETENSORS_GUESS_BYTES, file.size_bytes))
    wanted = 8 + int.from_bytes(head[:8], "little")
    if len(head) < wanted <= min(file.size_bytes, _SAFETENSORS_LARGEST_BYTES):
        head += source.read(contents, file, len(head), wanted)
    _write(path, head, file.size_bytes)


def _read_gguf(source: Source, contents: Contents, file: SourceFile, path: Path) -> None:
    """Nothing says how long the header is; with a vocabulary of 128,000 it is about 8 MB."""
    num_bytes = min(_GGUF_GUESS_BYTES, file.size_bytes)
    _write(path, source.read(contents, file, 0, num_bytes), file.size_bytes)
    while (problem := _gguf_problem(path, num_bytes)) is not None:
        more = min(2 * num_bytes, file.size_bytes)
        if more == num_bytes or more > _GGUF_LARGEST_BYTES:
            raise SourceError(
                f"{file.name} has no header that can be read: {problem}",
                remedy="get the file from its origin again, or use the model's safetensors files",
            )
        with path.open("r+b") as writer:
            writer.seek(num_bytes)
            writer.write(source.read(contents, file, num_bytes, more))
        num_bytes = more


def _gguf_problem(path: Path, num_bytes: int) -> str | None:
    """None when the header ends within the first ``num_bytes``; zeros after them parse as anything, or fail."""
    from transformers.integrations.gguf.reader import GgufHeader  # noqa: PLC0415 - torch, only for GGUF files

    try:
        end = GgufHeader.from_file(str(path)).data_start
    except Exception as error:  # noqa: BLE001 - the reader checks little: half a header makes it raise anything
        return str(error)
    return None if end <= num_bytes else f"it is longer than {num_bytes} bytes"


def _write(path: Path, head: bytes, size_bytes: int) -> None:
    with path.open("r+b") as writer:
        writer.write(head)
        writer.truncate(size_bytes)
