"""YAML for people: parts with a comment above each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import yaml

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Part:
    """Top-level fields, and what is said of them."""

    comment: str
    fields: Fields


class _Dumper(yaml.SafeDumper):
    """Text of several lines as it is written, and nothing by reference."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def yaml_text(fields: object) -> str:
    """In the order given, long lines unbroken."""
    return yaml.dump(fields, Dumper=_Dumper, sort_keys=False, width=10_000)


def document(header: str, parts: Iterable[Part]) -> str:
    """``header`` and the comments as lines that begin with #; empty comments are left out."""
    blocks = [_comment(header), *(f"{_comment(part.comment)}{yaml_text(dict(part.fields))}" for part in parts)]
    return "\n".join(blocks)


def _comment(text: str) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for line in text.splitlines())
