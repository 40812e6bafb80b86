"""Writes the places of a plan into a configuration, and leaves everything else of its text as it is."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from cluster.config.applications import read_applications
from cluster.config.config_file import ConfigFile, YamlPath
from deployments.args import Place
from models.errors import ConfigError

_KEY = "placement"
_ONE_LINE = 1_000_000  # wider than any line that PyYAML would break


@dataclass(frozen=True, slots=True)
class _Edit:
    """``text`` takes the place of the characters from ``start`` to ``end``."""

    start: int
    end: int
    text: str


def with_placements(text: str, places: Mapping[YamlPath, Sequence[Place]]) -> str:
    """The YAML ``text`` of a configuration with ``placement`` in the ``args`` of each application in ``places``.

    Comments, order and style stay. ConfigError where that cannot be done: args that are written once for several
    applications (an alias or a merge key) cannot hold the places of each.
    """
    edits = [_edit(text, _args_node(text, path), list(found)) for path, found in places.items()]
    for edit in sorted(edits, key=lambda edit: -edit.start):
        text = text[: edit.start] + edit.text + text[edit.end :]
    return text


def write_placements(source: Path, target: Path, places: Mapping[YamlPath, Sequence[Place]]) -> None:
    """``source`` with the places, as ``target``, whole or not at all; both may be the same file. ConfigError."""
    old = ConfigFile.read(source)
    text = with_placements(source.read_text(encoding="utf-8"), places)
    if _expected(ConfigFile.parse(text).value, {}) != _expected(old.value, places):
        raise ConfigError(
            f"the places cannot be written into {str(source)!r}: its args are shared by anchors or merge keys",
            remedy="write the args of each application out, or write places into the file by hand",
        )
    replace_file(target, text)


def replace_file(target: Path, text: str) -> None:
    """``text`` as the file ``target``, whole or not at all; ConfigError when it cannot be written."""
    try:
        _replace(target, text)
    except OSError as error:
        raise ConfigError(
            f"cannot write {str(target)!r}: {error}", remedy="give a path that can be written"
        ) from error


def _expected(value: object, places: Mapping[YamlPath, Sequence[Place]]) -> list[Mapping[object, object]]:
    """What the applications must be read as afterwards, each by itself: an alias is the same object to PyYAML."""
    applications: list[Mapping[object, object]] = []
    for app in read_applications(value):
        args = app.args
        if app.path in places and isinstance(args, Mapping):
            args = {**args, _KEY: [_written(place) for place in places[app.path]]}
        applications.append({**app.value, "args": args})
    return applications


def _written(place: Place) -> dict[str, object]:
    return {"node": place.node, **({"devices": list(place.devices)} if place.devices else {})}


def _replace(target: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=target.parent, prefix=f".{target.name}.", delete=False
    ) as file:
        temporary = Path(file.name)
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            temporary.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o644)
            temporary.replace(target)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def _args_node(text: str, path: YamlPath) -> yaml.MappingNode:
    node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    for part in (*path, "args"):
        node = _child(node, part)
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise ConfigError(f"application {path[-1]} has no args to write its places into", remedy="give it args")
    return node


def _child(node: yaml.Node | None, part: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    return node.value[part] if isinstance(node, yaml.SequenceNode) else None


def _edit(text: str, args: yaml.MappingNode, places: Sequence[Place]) -> _Edit:
    """In place of the present entry, else behind the last one."""
    present = next(((key, value) for key, value in args.value if key.value == _KEY), None)
    column = args.value[0][0].start_mark.column
    entry = _flow_entry(places) if args.flow_style else _block_entry(places, column)
    if present is not None:
        return _Edit(present[0].start_mark.index, _end(text, present[1]), entry)
    end = _end(text, args.value[-1][1])
    if args.flow_style:
        return _Edit(end, end, f", {entry}")
    line_end = text.find("\n", end)  # behind a comment on the same line
    end = len(text) if line_end < 0 else line_end
    return _Edit(end, end, f"\n{' ' * column}{entry}")


def _end(text: str, node: yaml.Node) -> int:
    """Behind the last character of a value: PyYAML ends a block where the next one begins, beyond comments."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    return len(text[: node.end_mark.index].rstrip())


def _flow_entry(places: Sequence[Place]) -> str:
    return f"{_KEY}: [{', '.join(map(_flow, places))}]"


def _block_entry(places: Sequence[Place], column: int) -> str:
    lines = (f"\n{' ' * (column + 2)}- {_flow(place)}" for place in places)
    return f"{_KEY}:{''.join(lines)}" if places else f"{_KEY}: []"


def _flow(place: Place) -> str:
    return yaml.safe_dump(_written(place), default_flow_style=True, sort_keys=False, width=_ONE_LINE).strip()
