"""Brings a model version onto this node's store; quick when it is there already."""

from __future__ import annotations

import logging

from deployments.args import ModelArgs
from models.importing.importer import import_model
from models.progress import LogProgress, Progress
from models.store import StoredModel, open_store

logger = logging.getLogger("ray.serve")


def ensure_imported(args: ModelArgs, progress: Progress | None = None) -> StoredModel:
    """The stored version, imported from its source if this is the first time; StoreError when it cannot be had.

    ``progress`` is told of it; None: the log is.
    """
    progress = progress or LogProgress(logger)
    return import_model(args, open_store(args.store, progress=progress), progress)
