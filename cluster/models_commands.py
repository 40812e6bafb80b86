"""``stowage models``: what is in a model store, how it gets there, and from there into a cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from rich.console import Console

from cluster.config.serve_config import load_config
from cluster.import_progress import shown_progress
from cluster.imports import import_version
from cluster.manifest_rows import FILE_COLUMNS, VERSION_COLUMNS, fact_rows, file_rows, version_row
from cluster.models_live import load, pin, scale, unload
from cluster.terminal.options import JsonOption
from cluster.terminal.render import print_json, print_table
from models.errors import StoreError
from models.manifest import Manifest
from models.memory.plan import format_bytes
from models.spec import DType, ModelSpec
from models.store import DEFAULT_STORE, open_store
from models.types import Task, VersionId


def _read_version(text: str) -> VersionId:
    try:
        return VersionId.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


StoreOption = Annotated[str, typer.Option(help="The model store: a folder, or an s3://, gs:// or az:// URL.")]
VersionArgument = Annotated[VersionId, typer.Argument(metavar="NAME@VERSION", parser=_read_version)]


def models_commands() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Model versions in a store, and in a cluster.",
    )
    group.command("import")(import_models)
    group.command("list")(list_versions)
    group.command("show")(show)
    group.command("verify")(verify)
    group.command("remove")(remove)
    for command in (load, unload, scale, pin):
        group.command()(command)
    return group


def import_models(
    version: Annotated[
        str | None, typer.Argument(metavar="NAME[@VERSION]", help="What to call it; version 1 if none is given.")
    ] = None,
    *,
    source: Annotated[
        str | None, typer.Option(help="file:PATH, package:PKG/PATH, hf:ORG/NAME@REVISION, s3://, gs:// or az://")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Import every model of this Serve config file.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="A second source, for weights without one.")] = None,
    task: Annotated[Task | None, typer.Option(help="What the model does, if its files do not tell.")] = None,
    dtype: Annotated[DType | None, typer.Option(help="What the weights are cast to, once.")] = None,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Convert pickles by torch.load(weights_only=True).")
    ] = False,
    store: Annotated[str | None, typer.Option(help=f"The model store; {DEFAULT_STORE} if none is given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Copy model versions into the store, converted to safetensors where needed.

    A version that is there already is left as it is. Versions never change: other weights are another version.
    """
    described = {
        "source": source,
        "tokenizer": tokenizer,
        "task": task,
        "dtype": dtype,
        "allow_pickle": allow_pickle,
    }
    fields: dict[str, object] = {name: value for name, value in described.items() if value}
    wanted = _from_config(config, version, store, *fields) if config else _from_options(version, store, fields)
    console = Console(stderr=True)
    imported = [import_version(spec, location, console).manifest for spec, location in wanted]
    _show_all(imported, as_json=as_json)


def list_versions(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """List the versions in the store."""
    manifests = open_store(store).list()
    if manifests or as_json:
        _show_all(manifests, as_json=as_json)
    else:
        typer.echo(f"no models in {store}")


def show(version: VersionArgument, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Show all that is known of one version: its manifest."""
    manifest = open_store(store).manifest(version)
    if as_json:
        typer.echo(manifest.model_dump_json(indent=2))
        return
    print_table(("fact", "value"), fact_rows(manifest))
    typer.echo()
    print_table(FILE_COLUMNS, file_rows(manifest), right=("size",))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the check of one version found; ``error`` None when every file is as it was imported."""

    version: str
    error: str | None = None


def verify(
    version: Annotated[VersionId | None, typer.Argument(metavar="[NAME@VERSION]", parser=_read_version)] = None,
    every: Annotated[bool, typer.Option("--all", help="Verify every version in the store.")] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Hash the files again and compare them with the manifest.

    Exit code: 0 when all are as they were imported, 1 when one is not.
    """
    if (version is None) is not every:
        raise typer.BadParameter("give one NAME@VERSION, or --all")
    versions = [version] if version else [manifest.id for manifest in open_store(store).list()]
    verdicts = _verify(versions, store)
    if as_json:
        print_json([dataclasses.asdict(verdict) for verdict in verdicts])
    else:
        print_table(("version", "result"), [(each.version, each.error or "intact") for each in verdicts])
    raise typer.Exit(int(any(verdict.error for verdict in verdicts)))


def remove(
    version: VersionArgument,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Remove one version from the store."""
    models = open_store(store)
    size = models.manifest(version).size_bytes
    if not yes:
        typer.confirm(f"Remove {version} ({format_bytes(size)}) from {store}?", abort=True, err=True)
    models.remove(version)
    if as_json:
        print_json({"removed": str(version), "size_bytes": size})
    else:
        typer.echo(f"Removed {version} ({format_bytes(size)}) from {store}.")


def _from_config(config: Path, *given: object) -> list[tuple[ModelSpec, str]]:
    """Each model of a file and its store. Nothing that would have to be ignored may be ``given`` beside it."""
    if any(given):
        raise typer.BadParameter("--config brings its own models, sources and stores: give it alone")
    return [(args, args.store) for args in load_config(config).model_args]


def _from_options(
    version: str | None, store: str | None, fields: dict[str, object]
) -> list[tuple[ModelSpec, str]]:
    if not version or "source" not in fields:
        raise typer.BadParameter("give NAME[@VERSION] and --source, or --config")
    name, _, number = version.partition("@")
    try:
        spec = ModelSpec.model_validate({"model": name, "version": number or "1", **fields})
    except ValidationError as error:
        raise typer.BadParameter("; ".join(_reason(each) for each in error.errors())) from error
    return [(spec, store or DEFAULT_STORE)]


def _reason(error: ErrorDetails) -> str:
    return f"{error['loc'][0]}: {error['msg'].removeprefix('Value error, ')}"


def _verify(versions: Sequence[VersionId], store: str) -> list[Verdict]:
    """One damaged version does not keep the others from being checked."""
    verdicts = []
    with shown_progress(Console(stderr=True)) as progress:
        models = open_store(store, progress=progress)
        for version in versions:
            try:
                models.verify(version)
                verdicts.append(Verdict(str(version)))
            except StoreError as error:
                verdicts.append(Verdict(str(version), str(error)))
    return verdicts


def _show_all(manifests: Iterable[Manifest], *, as_json: bool) -> None:
    if as_json:
        print_json([manifest.model_dump(mode="json", exclude={"files"}) for manifest in manifests])
        return
    print_table(VERSION_COLUMNS, [version_row(manifest) for manifest in manifests], right=("parameters", "size"))
