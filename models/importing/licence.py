"""The licence that comes with a model's files."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

_FRONT_MATTER = re.compile(r"\A---\n(.*?)\n---", re.DOTALL)
_LICENCE_FILE = re.compile(r"(?:licen[cs]e|copying)(?:[.-].*)?", re.IGNORECASE)


def read_licence(folder: Path) -> str | None:
    """``license`` of the README's front matter, else the name of the licence file, else None."""
    return _from_readme(folder / "README.md") or _from_file_name(folder)


def _from_readme(path: Path) -> str | None:
    match = _FRONT_MATTER.match(path.read_text(encoding="utf-8", errors="replace")) if path.exists() else None
    if match is None:
        return None
    try:
        front_matter = yaml.safe_load(match[1])
    except yaml.YAMLError:
        return None  # A README is for people: one that is not YAML says nothing of the licence.
    licence = front_matter.get("license") if isinstance(front_matter, dict) else None
    if isinstance(licence, list):
        return ", ".join(map(str, licence))
    return None if licence is None else str(licence)


def _from_file_name(folder: Path) -> str | None:
    names = sorted(path.name for path in folder.iterdir() if _LICENCE_FILE.fullmatch(path.name))
    return f"see {names[0]}" if names else None
