"""What is known of a configuration's versions: from their stores, or from the headers of their sources."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from rich.console import Console

from cluster.import_progress import shown_progress
from cluster.planning.planned import KnownVersion
from cluster.planning.planner import FindVersion
from deployments.args import ModelArgs
from models.errors import VersionNotFoundError
from models.manifest import Manifest
from models.memory.calibration import store_overheads
from models.progress import Progress
from models.spec import ModelSpec
from models.store import open_store
from models.types import VersionId

# What an import makes of a model depends on neither.
_OF_NO_IMPORT = {"engine", "limits"}


def stored_manifest(args: ModelArgs) -> Manifest | None:
    """The manifest of the version if its store has it; no weights are downloaded. StoreError."""
    return _stored(args.store, args.id)


@contextmanager
def known_versions(console: Console) -> Iterator[FindVersion]:
    """What finds a version: the stored one, else what an import would write into the store.

    It raises StoreError for a version that neither its store nor its source tells of. Each store is asked once for
    the overheads that were measured for it, each version is read once, however many configurations have it.
    """
    overheads = cache(store_overheads)
    with shown_progress(console) as progress:

        @cache
        def manifest(store: str, spec: ModelSpec) -> Manifest:
            return _stored(store, spec.id) or _preview(spec, progress)

        yield lambda args: KnownVersion(manifest(args.store, _imported(args)), overheads(args.store))


def _stored(store: str, version: VersionId) -> Manifest | None:
    try:
        return open_store(store).manifest(version)
    except VersionNotFoundError:
        return None


def _imported(args: ModelArgs) -> ModelSpec:
    """What of the description decides what an import writes."""
    return ModelSpec.model_validate(args.model_dump(include=set(ModelSpec.model_fields) - _OF_NO_IMPORT))


def _preview(spec: ModelSpec, progress: Progress) -> Manifest:
    from models.importing.preview import preview  # noqa: PLC0415  only what is not stored needs what reads sources

    return preview(spec, progress)
