"""Where the overheads that were measured on a cluster's own machines are kept: in the model store.

Builders on every node and the command line open the same store, so they plan with the same numbers.
"""

from __future__ import annotations

from pathlib import Path

from models.errors import ConfigError, StoreError
from models.memory.overheads import MEASURED, Overheads, parse_overheads
from models.object_store import BUCKET_SCHEMES, Bucket

CALIBRATION_FILE = "calibration.json"


def store_overheads(store: str) -> Overheads:
    """``MEASURED``, corrected by CALIBRATION_FILE in the root of the store at ``store``, if there is one.

    StoreError when a bucket cannot be read, ConfigError when the file is no table of overheads.
    """
    if not store.startswith(BUCKET_SCHEMES):
        return MEASURED.updated(read_calibration(calibration_path(store)))
    content = Bucket(store.rstrip("/"), StoreError).read(CALIBRATION_FILE)
    if content is None:
        return MEASURED
    return MEASURED.updated(parse_overheads(content, f"{CALIBRATION_FILE} of {store}"))


def calibration_path(store: str) -> Path:
    """Where the file of a store lies. ConfigError for a bucket, whose files nothing but imports write."""
    if store.startswith(BUCKET_SCHEMES):
        raise ConfigError(
            f"the store {store} is a bucket, into which no calibration is written",
            remedy=f"give --output FILE, and copy the file to {store.rstrip('/')}/{CALIBRATION_FILE}",
        )
    return Path(store).expanduser() / CALIBRATION_FILE


def read_calibration(path: Path) -> Overheads:
    """What the file holds, an empty table if there is none. ConfigError when it is something else."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Overheads(entries=())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    return parse_overheads(content, str(path))


def write_calibration(path: Path, table: Overheads) -> None:
    """Replace the file. ConfigError when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(table.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}", remedy="give --output FILE") from error
