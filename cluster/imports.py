"""Import what a configuration needs, with progress on standard error."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from cluster.import_progress import shown_progress
from deployments.args import ModelArgs
from models.manifest import Manifest
from models.spec import ModelSpec
from models.store import StoredModel, open_store


def import_version(spec: ModelSpec, location: str, console: Console) -> StoredModel:
    """The version in the store at ``location``, imported unless it is there. StoreError when it cannot be had,
    or when the one that is there was made from something else than ``spec`` says."""
    from models.importer import import_model  # noqa: PLC0415  only an import needs what converts weights

    with shown_progress(console) as progress:
        return import_model(spec, open_store(location, progress=progress), progress)


def import_all(models: Iterable[ModelArgs], console: Console) -> list[Manifest]:
    """The versions of a configuration, each in its own store."""
    return [import_version(args, args.store, console).manifest for args in models]
