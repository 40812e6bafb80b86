"""What an import fixes for ever: does a stored version have what is asked for?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from models.errors import StoreError
from models.manifest import Manifest
from models.sources import parse_source
from models.spec import ModelSpec
from models.types import VersionId


@dataclass(frozen=True, slots=True)
class Difference:
    """``field`` of the description asks for something else than the version was made from."""

    version: VersionId
    field: str
    asked: str | None
    stored: str | None

    def error(self) -> StoreError:
        """What is wrong, and the two ways out of it."""
        return StoreError(
            f"{self.version} has the {self.field} {self.stored}, not {self.asked}, and a version never changes",
            remedy=f"change the {self.field}, or import under a version that is not in the store",
        )


def differences(spec: ModelSpec, manifest: Manifest) -> Iterator[Difference]:
    """Each thing that ``spec`` asks for and the version does not have. SourceError for a malformed source."""
    asked_and_stored: dict[str, tuple[str | None, str | None]] = {
        "task": (spec.task or manifest.task, manifest.task),
        "dtype": (spec.dtype or manifest.dtype, manifest.dtype),
    }
    if spec.source is not None:
        asked_and_stored["source"] = (canonical(spec.source), manifest.source)
        asked_and_stored["tokenizer"] = (canonical(spec.tokenizer), manifest.tokenizer_source)
    for field, (asked, stored) in asked_and_stored.items():
        if asked != stored:
            yield Difference(spec.id, field, asked, stored)


def check_same(spec: ModelSpec, manifest: Manifest) -> None:
    """StoreError for the first difference."""
    for difference in differences(spec, manifest):
        raise difference.error()


def canonical(source: str | None) -> str | None:
    """The one way in which manifests write a source."""
    return None if source is None else str(parse_source(source))
