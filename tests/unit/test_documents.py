"""The documents say what is so: commands, tree, tables, YAML, code and links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Protocol

import pytest
import typer.main
from ray.serve.scripts import cli as serve_cli

from cluster.cli import build_cli
from cluster.config.config_file import ConfigFile
from cluster.config.serve_config import check_config
from cluster.validate import find_problems
from tests.markdown import anchors, blocks, code_spans, links
from tests.unit.source_tree import ROOT

GUIDES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
DOCUMENTS = [*GUIDES, ROOT / "CHANGELOG.md"]
README = (ROOT / "README.md").read_text()
ROUTER_ONLY = "applications:\n  - {name: router, route_prefix: /, import_path: deployments.app:build_router}\n"


class Command(Protocol):
    """What click and the copy of it inside typer have in common."""

    def make_context(self, info_name: str, args: list[str]) -> object:
        """Parse the arguments; raises for what the command does not know."""


def named(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=lambda path: path.name)


def documented_commands(text: str) -> Iterator[list[str]]:
    """The words of every command of ours, from blocks for the shell and from code spans."""
    lines = [line for block in blocks(text, "sh") for line in block.text.replace("\\\n", " ").splitlines()]
    for line in [*lines, *code_spans(text)]:
        plain = re.sub(r"^(\$ |[A-Z_]+=\S+ )+", "", line)
        if plain.startswith(("make ", "stowage ", "serve ")):
            yield command_words(plain)


def command_words(line: str) -> list[str]:
    """Those of the first command of a line for the shell, without what is done with its output."""
    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    return list(takewhile(lambda word: not set(word) <= set(words.punctuation_chars), words))


def parse_command(command: Command, words: list[str]) -> None:
    """Descend to the subcommand and parse the rest; a subcommand alone is only mentioned, not shown."""
    name, *rest = words
    subcommands: Mapping[str, Command] | None = getattr(command, "commands", None)
    if subcommands is not None and rest:
        assert rest[0] in subcommands, f"{' '.join(words)}: known are {', '.join(subcommands)}"
        parse_command(subcommands[rest[0]], rest)
    elif rest:
        command.make_context(name, rest)


def parse_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    known = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z]+) \?=", makefile, re.MULTILINE))
    for word in words[1:]:
        assert word.partition("=")[0] in known | variables, f"{word!r} is no target or variable of the Makefile"


@named(GUIDES)
def test_commands_exist(path: Path) -> None:
    for words in documented_commands(path.read_text()):
        if words[0] == "make":
            parse_make(words)
        else:
            parse_command(typer.main.get_command(build_cli()) if words[0] == "stowage" else serve_cli, words)


@pytest.mark.parametrize(
    "line", ["stowage plann x.yaml", "stowage plan x.yaml --node-memori 1GiB", "serve deploi x"]
)
def test_a_wrong_command_is_found(line: str) -> None:
    root = typer.main.get_command(build_cli()) if line.startswith("stowage") else serve_cli
    with pytest.raises(Exception, match=r"known are|No such option"):
        parse_command(root, shlex.split(line))


def tree_paths() -> Iterator[Path]:
    """Every path in the README's tree; two spaces deeper is inside, two spaces end the names of a line."""
    (tree,) = blocks(README, "")
    folders: list[str] = []
    for line in tree.text.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        names = re.split(r" {2,}", line.strip())[0].split()
        del folders[depth:]
        yield from (Path(*folders, name) for name in names)
        if names[0].endswith("/"):
            folders.append(names[0])


def packages() -> Iterator[Path]:
    """Every package; tests/unit mirrors the source, so what is inside it is not named again."""
    for marker in ROOT.glob("[a-z]*/**/__init__.py"):
        folder = marker.parent.relative_to(ROOT)
        if folder.parts[:2] != ("tests", "unit") or len(folder.parts) == 2:
            yield folder


def test_the_tree_is_on_the_disk_and_complete() -> None:
    listed = set(tree_paths())
    assert {str(path) for path in listed if not (ROOT / path).exists()} == set()
    top = {Path(each.name) for each in ROOT.iterdir() if each.is_dir() and re.fullmatch(r"[a-z]+", each.name)}
    assert {*top, *packages()} - {Path("dist")} <= listed


@named(GUIDES)
def test_yaml_is_a_valid_configuration(path: Path) -> None:
    for block in blocks(path.read_text(), "yaml"):
        text = block.text if "applications:" in block.text else ROUTER_ONLY + block.text
        assert check_config(ConfigFile.parse(text)) == []


def test_the_shipped_configuration_is_valid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # with an empty model store
    problems, config = find_problems(ConfigFile.read(ROOT / "serve_config.yaml"))
    assert problems == []
    assert config is not None
    assert [str(args.id) for args in config.model_args] == ["smollm2-135m@1", "minilm@1", "minilm@2"]


@named(DOCUMENTS)
def test_python_compiles(path: Path) -> None:
    for block in blocks(path.read_text(), "python"):
        compile(block.text, str(path), "exec")


@named(DOCUMENTS)
def test_links_lead_somewhere(path: Path) -> None:
    for link in links(path.read_text()):
        if not link.startswith("https://"):
            target, _, anchor = link.partition("#")
            found = path.parent / target if target else path
            assert found.exists(), link
            assert not anchor or anchor in anchors(found.read_text()), link


@named(GUIDES)
def test_named_files_exist(path: Path) -> None:
    spans = code_spans(path.read_text())
    named_files = [span for span in spans if re.fullmatch(r"[\w/]+\.py|(?:\w+/)+", span)]
    assert [each for each in named_files if not (ROOT / each).exists()] == []


@named(DOCUMENTS)
def test_no_path_of_a_machine(path: Path) -> None:
    assert re.findall(r"(?<![\w.~}])/(?:home|root|Users|work|tmp|mnt|opt)/\S*", path.read_text()) == []
