"""Import what a configuration needs, with progress on standard error."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from cluster.import_progress import shown_progress
from deployments.args import ModelArgs
from models.errors import StoreError
from models.manifest import Manifest
from models.spec import ModelSpec
from models.store import StoredModel, open_store


def import_version(spec: ModelSpec, location: str, console: Console) -> StoredModel:
    """The version in the store at ``location``, imported unless it is there. StoreError when it cannot be had,
    or when the one that is there was made from something else than ``spec`` says."""
    from models.importing.importer import import_model  # noqa: PLC0415  only an import needs what converts weights

    with shown_progress(console) as progress:
        return import_model(spec, open_store(location, progress=progress), progress)


def import_all(models: Iterable[ModelArgs], console: Console) -> list[Manifest]:
    """The versions of a configuration, each in its own store. StoreError when one cannot be had."""
    return [import_version(args, args.store, console).manifest for args in models]


def import_what_can_be(models: Iterable[ModelArgs], console: Console) -> list[Manifest]:
    """As ``import_all``, but a version that cannot be had is reported and left out: the others can serve."""
    manifests = []
    for args in models:
        try:
            manifests.append(import_version(args, args.store, console).manifest)
        except StoreError as error:
            console.print(f"{args.id} cannot be imported: {error}", markup=False, highlight=False)
    return manifests
