"""What every source of weights gives: a list of its files first, then the bytes of those that are wanted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Protocol

from models.errors import SourceError
from models.progress import Progress


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source. ``name`` is relative, with '/'; ``sha256`` (hex) is what the source itself claims,
    None where it claims nothing; ``etag`` lets an object store refuse an object that changed meanwhile."""

    name: str
    size_bytes: int
    sha256: str | None = None
    etag: str | None = None

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.name).parts
        if not parts or self.name.startswith("/") or ".." in parts:
            raise SourceError(f"the source holds a file named {self.name!r}, which would lie outside of it")


@dataclass(frozen=True, slots=True)
class Contents:
    """What a source holds now. ``root`` is the folder, in the source's own terms, that names are relative to.

    ``revision`` pins the contents where the source can; ``licence`` is the source's own word.
    """

    files: tuple[SourceFile, ...]
    root: str = ""
    revision: str | None = None
    licence: str | None = None

    def key(self, file: SourceFile) -> str:
        """The file's whole name in the source."""
        return f"{self.root}/{file.name}" if self.root else file.name


class Source(Protocol):
    """Where weights come from. ``str()`` gives the text that parses to an equal source."""

    def contents(self) -> Contents:
        """List the files; SourceError when the source is absent or unreachable."""

    def fetch(
        self, contents: Contents, wanted: Sequence[SourceFile], scratch: Path, progress: Progress, /
    ) -> Path:
        """A folder that holds the wanted files under their names; what is downloaded goes to ``scratch``."""

    def read(self, contents: Contents, file: SourceFile, start: int, stop: int, /) -> bytes:
        """The bytes of one file from ``start`` up to ``stop``, without the rest of it. SourceError."""


def narrow(files: Sequence[SourceFile], inner: str, origin: str) -> Contents:
    """What lies below the folder ``inner``; or the file ``inner`` and its companions, as ONNX graphs have
    (``model.onnx_data`` beside ``model.onnx``). SourceError when there is neither."""
    inside = [file for file in files if not inner or file.name.startswith(f"{inner}/")]
    root = inner if inside else inner.rpartition("/")[0]
    exact = [file for file in files if file.name == inner]
    if exact:
        companions = re.compile(re.escape(inner) + "[^/]*")
        inside = [file for file in files if companions.fullmatch(file.name)]
    if not inside:
        names = ", ".join(sorted(file.name for file in files)[:20]) or "nothing"
        raise SourceError(f"{origin} does not exist", remedy=f"{inner!r} is not among {names}")
    start = len(root) + 1 if root else 0
    return Contents(tuple(replace(file, name=file.name[start:]) for file in inside), root=root)
