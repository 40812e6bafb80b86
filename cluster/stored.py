"""Which of a configuration's versions are in their stores already."""

from __future__ import annotations

from deployments.args import ModelArgs
from models.errors import VersionNotFoundError
from models.manifest import Manifest
from models.store import open_store


def stored_manifest(args: ModelArgs) -> Manifest | None:
    """The manifest of the version if its store has it; no weights are downloaded. StoreError."""
    try:
        return open_store(args.store).manifest(args.id)
    except VersionNotFoundError:
        return None
