"""``stowage validate``: everything that can be known to be wrong with a configuration before it is deployed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import typer

from cluster.config_file import Complaint, ConfigFile, Problem, YamlPath
from cluster.options import ConfigArgument, JsonOption
from cluster.render import print_json
from cluster.serve_config import ServeConfig, check_config, describe, valid_config
from cluster.stored import stored_manifests
from deployments.args import ModelArgs
from models.errors import ConfigError, StoreError
from models.local_sources import FileSource, PackageSource
from models.sources import parse_source
from models.store import open_store


def validate(config: ConfigArgument, as_json: JsonOption = False) -> None:
    """Check a configuration against Serve's schema and Stowage's own rules.

    Finds unknown fields (with the nearest known name), wrong values, duplicate keys, applications and versions,
    and sources that are not on this machine. Reports all problems at once, each with its line. Starts nothing.

    Exit code: 0 when there is no problem, 1 when there is one.
    """
    file = ConfigFile.read(config)
    problems, loaded = find_problems(file)
    models = [str(args.id) for args in loaded.model_args] if loaded else []
    if as_json:
        listed = [dataclasses.asdict(problem) for problem in problems]
        print_json({"valid": not problems, "problems": listed, "models": models})
    elif problems:
        typer.echo(describe(config, problems), err=True)
    else:
        typer.echo(f"{config} is valid: the router and {len(models)} model versions ({', '.join(models)}).")
    raise typer.Exit(1 if problems else 0)


def load_deployable(path: Path) -> ServeConfig:
    """The configuration at ``path``; ConfigError lists everything that ``stowage validate`` would."""
    problems, loaded = find_problems(ConfigFile.read(path))
    if problems or loaded is None:
        raise ConfigError(describe(path, problems))
    return loaded


def find_problems(file: ConfigFile) -> tuple[list[Problem], ServeConfig | None]:
    """Problems of the file, or of its sources if the file has none; and its contents if they can be read."""
    problems = check_config(file)
    if problems:
        return problems, None
    loaded = valid_config(file)
    return [file.problem(complaint) for complaint in source_complaints(loaded)], loaded


def source_complaints(config: ServeConfig) -> Iterator[Complaint]:
    """Versions that are not in their store and cannot be imported on this machine.

    Hubs and buckets are not asked: only the import can tell what they hold, and for whom.
    """
    for path, args in config.models:
        missing = list(_missing_sources(path, args))
        try:
            open_store(args.store)
            if missing and args.id not in stored_manifests([args]):
                yield from missing
        except StoreError as error:
            yield Complaint((*path, "args", "store"), str(error))


def _missing_sources(path: YamlPath, args: ModelArgs) -> Iterator[Complaint]:
    if args.source is None:
        yield Complaint((*path, "args"), f"{args.id} has no source and is not in the store {args.store!r}")
    for field, text in (("source", args.source), ("tokenizer", args.tokenizer)):
        try:
            source = parse_source(text) if text else None
            if isinstance(source, FileSource | PackageSource):
                source.contents()
        except StoreError as error:
            yield Complaint((*path, "args", field), str(error))
