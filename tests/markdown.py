"""Markdown as far as the project's documents use it: fenced blocks, code spans, tables, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

_FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_ROW = re.compile(r"^\|(.+)\|$")

_RUN = ("sh", "python")
_PRINTED = ("text", "json")


@dataclass(frozen=True)
class Block:
    """A fenced block; ``language`` is empty where none is given."""

    language: str
    text: str


@dataclass(frozen=True)
class Example:
    """Something to run, and what it prints according to the document."""

    command: Block
    output: Block


def blocks(document: str, *languages: str) -> list[Block]:
    """The fenced blocks in one of the languages, or all of them."""
    found = [Block(match["language"], match["text"]) for match in _FENCE.finditer(document)]
    return [block for block in found if not languages or block.language in languages]


def examples(document: str) -> Iterator[Example]:
    """Each block that can be run, with its output, where that follows with at most words between."""
    for command, output in pairwise(blocks(document)):
        if command.language in _RUN and output.language in _PRINTED:
            yield Example(command, output)


def code_spans(document: str) -> list[str]:
    return _SPAN.findall(_FENCE.sub("", document))


def links(document: str) -> list[str]:
    return _LINK.findall(_FENCE.sub("", document))


def anchors(document: str) -> set[str]:
    """The names that links give to the headings."""
    headings = _HEADING.findall(_FENCE.sub("", document))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table(document: str, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, without the row of column names."""
    section = document.partition(f"\n{heading}\n")[2]
    lines = iter(section.splitlines())
    rows = []
    for line in lines:
        if match := _ROW.match(line):
            rows.append([cell.strip() for cell in match[1].split("|")])
        elif rows:
            break
    return rows[2:]
