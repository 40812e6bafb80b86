"""``stowage validate``: everything that can be known to be wrong with a configuration before it is deployed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import typer

from cluster.config.applications import WrittenModel, read_applications
from cluster.config.config_file import Complaint, ConfigFile, Problem
from cluster.config.plan_rules import reservation_complaints
from cluster.config.serve_config import ServeConfig, check_config, describe, valid_config
from cluster.stored import stored_manifest
from cluster.terminal.options import ConfigArgument, JsonOption
from cluster.terminal.render import print_json
from deployments.planning import given_degree
from models.engines.registry import resolve_engine
from models.errors import ConfigError, StoreError
from models.importing.fixed_facts import differences
from models.local_sources import FileSource, PackageSource
from models.manifest import Manifest
from models.memory.calibration import store_overheads
from models.memory.divisible import check_degree
from models.memory.plan import plan_memory
from models.object_store import BUCKET_SCHEMES
from models.sources import parse_source
from models.store import open_store


def validate(config: ConfigArgument, as_json: JsonOption = False) -> None:
    """Check a configuration against Serve's schema and Stowage's own rules.

    Finds unknown fields (with the nearest known name), wrong values, duplicate keys, applications and versions,
    sources that are not on this machine, and stored versions that are not what the file says or cannot do it.
    Reports all problems at once, each with its line. Starts nothing.

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
    """Problems of the file, or of its models if the file has none; and its contents if they can be read."""
    problems = check_config(file)
    if problems:
        return problems, None
    loaded = valid_config(file)
    complaints = [complaint for model in loaded.versions for complaint in model_complaints(model)]
    if not complaints:
        overheads = cache(store_overheads)
        complaints = [
            complaint
            for app in read_applications(file.value)
            for complaint in reservation_complaints(app, stored_manifest, overheads)
        ]
    return [file.problem(complaint) for complaint in complaints], loaded


def model_complaints(model: WrittenModel) -> Iterator[Complaint]:
    """Of a version that cannot be imported on this machine, or is stored and does not go with the file.

    Hubs and buckets of weights are not asked: only the import can tell what they hold, and for whom. Nor is a
    store in a bucket, unless a source is missing: a file can be checked without its credentials.
    """
    missing = list(_missing_sources(model))
    location = model.args.store
    try:
        open_store(location)
        is_asked = missing or not location.startswith(BUCKET_SCHEMES)
        manifest = stored_manifest(model.args) if is_asked else None
    except StoreError as error:
        yield Complaint((*model.path, "store"), str(error))
        return
    yield from missing if manifest is None else _complaints_of_stored(model, manifest)


def _missing_sources(model: WrittenModel) -> Iterator[Complaint]:
    args, path = model.args, model.path
    if args.source is None:
        yield Complaint(path, f"{args.id} has no source and is not in the store {args.store!r}")
    for field, text in (("source", args.source), ("tokenizer", args.tokenizer)):
        source = parse_source(text) if text else None
        try:
            if isinstance(source, FileSource | PackageSource):
                source.contents()
        except StoreError as error:
            yield Complaint((*path, field), str(error))


def _complaints_of_stored(model: WrittenModel, manifest: Manifest) -> Iterator[Complaint]:
    """What an import or the builder would refuse, once the version is there."""
    args, path = model.args, model.path
    for difference in differences(args, manifest):
        yield Complaint((*path, difference.field), str(difference.error()))
    place: tuple[str, ...] = ("engine",)
    try:
        engine = resolve_engine(manifest, args.engine)
        place = ("limits", "max_model_len")
        plan_memory(manifest, args.limits, engine)
        place = ("parallel",)
        check_degree(manifest, engine, given_degree(args))
    except ConfigError as error:
        yield Complaint((*path, *place), str(error))
