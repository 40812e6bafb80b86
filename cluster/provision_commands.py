"""``stowage cluster``: files for the providers, made of one specification of the cluster."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

import typer

from cluster.config.placement_file import replace_file
from cluster.provision.registry import ProviderName, renderer
from cluster.provision.spec_file import load_spec
from models.errors import ConfigError

ProviderArgument = Annotated[ProviderName, typer.Argument(metavar="PROVIDER", help=", ".join(ProviderName))]
SpecOption = Annotated[Path, typer.Option(metavar="FILE", help="What the cluster consists of.")]
OutputOption = Annotated[
    Path | None,
    typer.Option(metavar="PATH", help="Write there: a file, or a folder where the provider takes several."),
]
CheckOption = Annotated[
    bool, typer.Option("--check", help="Write nothing; fail if the files are not what would be written.")
]


def cluster_commands() -> typer.Typer:
    commands = typer.Typer(help="Files for clouds, own machines and Kubernetes.", no_args_is_help=True)
    commands.callback()(_group)
    commands.command()(render)
    return commands


def _group() -> None:
    """Files for clouds, own machines and Kubernetes."""


def render(
    provider: ProviderArgument,
    spec: SpecOption = Path("cluster/cluster.yaml"),
    output: OutputOption = None,
    check: CheckOption = False,
) -> None:
    """Make of the specification what PROVIDER takes: a file for `ray up`, or manifests.

    Prints it, unless --output says where to. With --check and without --output the files beside the specification
    are looked at.

    Exit code: 0 when it is done; 1 when the specification has a problem, or --check finds a difference.
    """
    files = renderer(provider)(load_spec(spec))
    if check:
        _check(_placed(files, output or spec.parent, is_folder=output is None))
    elif output is None:
        typer.echo("---\n".join(files.values()), nl=False)
    else:
        _write(_placed(files, output, is_folder=False))


def _placed(files: Mapping[str, str], path: Path, *, is_folder: bool) -> dict[Path, str]:
    """A single file is ``path`` itself, unless that is the folder of all providers."""
    if len(files) == 1 and not is_folder:
        (text,) = files.values()
        return {path: text}
    return {path / name: text for name, text in files.items()}


def _write(files: Mapping[Path, str]) -> None:
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text)
        typer.echo(f"Written: {path}", err=True)


def _check(files: Mapping[Path, str]) -> None:
    differing = {path: found for path, text in files.items() if (found := _found(path)) != text}
    for path, found in differing.items():
        typer.echo("".join(_difference(path, found, files[path])), nl=False)
    if differing:
        raise ConfigError(
            f"{', '.join(map(str, differing))}: not what the specification makes",
            remedy="render it again with --output",
        )


def _found(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {str(path)!r}: {error}", remedy="give the path of a text file") from error


def _difference(path: Path, found: str, wanted: str) -> Iterator[str]:
    lines = found.splitlines(keepends=True), wanted.splitlines(keepends=True)
    return difflib.unified_diff(*lines, str(path), "specification")
