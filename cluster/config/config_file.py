"""A YAML file as written: its value, and the line on which each part of it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from models.errors import ConfigError

YamlPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something wrong at ``path`` inside a document."""

    path: YamlPath
    message: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A complaint as an operator reads it: ``applications[0].args``, and the line, counted from 1."""

    path: str
    line: int
    message: str


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """``value`` is what YAML makes of the text; ``complaints`` are about the text itself."""

    value: object
    root: yaml.Node | None
    complaints: tuple[Problem, ...] = ()

    @classmethod
    def read(cls, path: Path) -> ConfigFile:
        """ConfigError when the file cannot be read; a file that is not YAML has a complaint instead."""
        try:
            return cls.parse(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"cannot read {str(path)!r}: {error}", remedy="give the path of a YAML file"
            ) from error

    @classmethod
    def parse(cls, text: str) -> ConfigFile:
        loader = yaml.SafeLoader(text)
        try:
            root = loader.get_single_node()
            repeated = tuple(_duplicate_keys(root))  # before construction, which unfolds merge keys in place
            return cls(loader.construct_document(root) if root else None, root, repeated)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            return cls(None, None, (_syntax_problem(error),))
        finally:
            loader.dispose()

    def problem(self, complaint: Complaint) -> Problem:
        return Problem(format_path(complaint.path), self.line(complaint.path), complaint.message)

    def line(self, path: YamlPath) -> int:
        """The line of ``path``, or of the nearest enclosing part that is written in the file."""
        node, line = self.root, 1
        for part in path:
            found = None if node is None else _child(node, part)
            if found is None:
                break
            node, line = found
        return line


def format_path(path: YamlPath) -> str:
    """``('applications', 0, 'args')`` as ``applications[0].args``; the whole document is ``(file)``."""
    steps = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(steps).removeprefix(".") or "(file)"


def child(value: object, part: str | int) -> object:
    """``value[part]`` of parsed YAML, or None where there is no such part."""
    if isinstance(value, Mapping):
        return value.get(part)
    if isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value):
        return value[part]
    return None


def _child(node: yaml.Node, part: str | int) -> tuple[yaml.Node, int] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in reversed(node.value):  # a merged key precedes the one that overrides it
            if key.value == str(part):
                return value, key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part].start_mark.line + 1
    return None


def _duplicate_keys(root: yaml.Node | None) -> Iterator[Problem]:
    """YAML forbids a key twice in one mapping; PyYAML silently keeps the last."""
    pending: list[tuple[yaml.Node, YamlPath]] = [(root, ())] if root else []
    seen: set[int] = set()
    while pending:
        node, path = pending.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            yield from _repeated(node, path)
        pending.extend(_children(node, path))


def _repeated(node: yaml.MappingNode, path: YamlPath) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        line = key.start_mark.line + 1
        if key.value in first:
            message = f"key {key.value!r} is given twice, first on line {first[key.value]}"
            yield Problem(format_path((*path, key.value)), line, message)
        first.setdefault(key.value, line)


def _children(node: yaml.Node, path: YamlPath) -> list[tuple[yaml.Node, YamlPath]]:
    if isinstance(node, yaml.MappingNode):
        return [(value, (*path, str(key.value))) for key, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        return [(item, (*path, index)) for index, item in enumerate(node.value)]
    return []


def _syntax_problem(error: Exception) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark:
        return Problem("(file)", error.problem_mark.line + 1, f"not YAML: {error.problem or error.context}")
    return Problem("(file)", 1, f"not YAML: {error}")
