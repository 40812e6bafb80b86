"""Which of a configuration's versions are in their stores already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from deployments.args import ModelArgs
from models.manifest import Manifest
from models.store import open_store
from models.types import VersionId


def stored_manifests(models: Iterable[ModelArgs]) -> Mapping[VersionId, Manifest]:
    """Manifests of those that are there. Each store is listed once, and no weights are downloaded."""
    wanted: dict[str, set[VersionId]] = {}
    for args in models:
        wanted.setdefault(args.store, set()).add(args.id)
    return {
        manifest.id: manifest
        for location, versions in wanted.items()
        for manifest in open_store(location).list()
        if manifest.id in versions
    }
