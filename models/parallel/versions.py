"""Versions of what has to be the same on all ranks of a group, since its parts there work together."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

_LIBRARIES = ("ray", "torch", "transformers", "safetensors", "tokenizers", "accelerate", "numpy")


def library_versions() -> dict[str, str]:
    """Of Python, and of the libraries that compute or carry what ranks send each other."""
    return {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}}


def source_digest(packages: Iterable[Path]) -> str:
    """Eight hex digits of the source of these folders: Stowage's version moves only with a release."""
    digest = hashlib.sha256()
    for package in packages:
        for path in sorted(package.rglob("*.py")):
            digest.update(f"{package.name}/{path.relative_to(package)}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:8]
