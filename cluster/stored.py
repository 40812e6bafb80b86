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
from models.store import open_store


def stored_manifest(args: ModelArgs) -> Manifest | None:
    """The manifest of the version if its store has it; no weights are downloaded. StoreError."""
    try:
        return open_store(args.store).manifest(args.id)
    except VersionNotFoundError:
        return None


@contextmanager
def known_versions(console: Console) -> Iterator[FindVersion]:
    """What finds a version: the stored one, else what an import would write into the store.

    It raises StoreError for a version that neither its store nor its source tells of. Each store is asked once for
    the overheads that were measured for it.
    """
    overheads = cache(store_overheads)
    with shown_progress(console) as progress:
        yield lambda args: KnownVersion(stored_manifest(args) or _preview(args, progress), overheads(args.store))


def _preview(args: ModelArgs, progress: Progress) -> Manifest:
    from models.importing.preview import preview  # noqa: PLC0415  only what is not stored needs what reads sources

    return preview(args, progress)
