"""The steps from a source to a described version, which an import and its preview have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from models.errors import UnsafeWeightsError
from models.file_integrity import copy_file, move_file
from models.importing.configuration import read_configuration
from models.importing.describe import Provenance, describe
from models.importing.fixed_facts import canonical, check_same
from models.importing.tensors import TensorTotals
from models.local_store import Staging
from models.manifest import Manifest
from models.progress import Progress
from models.selection import (
    Selection,
    is_pooling_file,
    is_tokenizer_file,
    name_in_version,
    select_files,
    select_tokenizer,
)
from models.sources import parse_source
from models.spec import ModelSpec
from models.types import Task, WeightFormat
from models.weight_source import Contents, Source, SourceFile


@dataclass(frozen=True, slots=True)
class Brought:
    """Weights that are at hand: the format that the version will have them in.

    ``weigh`` puts what is still missing of them into the version, now that the task is known, and counts it.
    """

    format: WeightFormat
    weigh: Callable[[Task], TensorTotals]


class WeightStep(Protocol):
    """What happens to the weights: an import brings them, a preview their headers."""

    def bring(self, contents: Contents, selection: Selection, staging: Staging) -> Brought:
        """Have the selected weights at hand.

        A graph, which says itself what it takes, and the texts that come of a conversion go to ``staging.files``.
        """


@dataclass(frozen=True, slots=True)
class Gathering:
    """One model version being put together from its sources."""

    spec: ModelSpec
    source: Source
    tokenizer: Source | None
    progress: Progress

    @classmethod
    def of(cls, spec: ModelSpec, source: str, progress: Progress) -> Gathering:
        """``source`` is where the weights are. SourceError when a source is malformed."""
        tokenizer = None if spec.tokenizer is None else parse_source(spec.tokenizer)
        return cls(spec, parse_source(source), tokenizer, progress)

    def fill(self, staging: Staging, weights: WeightStep) -> Manifest:
        """Put the version's files into the staging folder and describe them.

        The small files come first: what they rule out is refused before any weights are moved.
        """
        contents = self.source.contents()
        selection = select_files(contents, str(self.source), allow_pickle=self.spec.allow_pickle)
        self._place(self.source, contents, selection.sidecars, staging)
        _refuse_own_code(staging.files)
        brought = weights.bring(contents, selection, staging)
        if self.tokenizer is not None:
            self._replace_tokenizer(self.tokenizer, staging)
        provenance = Provenance(
            source=str(self.source),
            revision=contents.revision,
            tokenizer_source=canonical(self.spec.tokenizer),
            licence=contents.licence,
        )
        manifest = describe(staging.files, self.spec, brought.format, provenance, brought.weigh)
        check_same(self.spec, manifest)
        return manifest

    def _replace_tokenizer(self, source: Source, staging: Staging) -> None:
        """Put the second source's tokenizer in the place of any other, and its pooling where there is none."""
        contents = source.contents()
        present = {path.relative_to(staging.files).as_posix() for path in staging.files.rglob("*")}
        for name in filter(is_tokenizer_file, present):
            (staging.files / name).unlink()
        has_pooling = any(map(is_pooling_file, present))
        wanted = select_tokenizer(contents, str(source), with_pooling=not has_pooling)
        self._place(source, contents, wanted, staging)

    def _place(self, source: Source, contents: Contents, files: tuple[SourceFile, ...], staging: Staging) -> None:
        """Fetch the files and put them, checked, where the version has them."""
        if not files:
            return
        root = source.fetch(contents, files, staging.scratch, self.progress)
        for file in files:
            target = staging.files / name_in_version(file)
            place = move_file if root.is_relative_to(staging.scratch) else copy_file
            place(root / file.name, target, file.sha256)


def _refuse_own_code(folder: Path) -> None:
    """UnsafeWeightsError when the model needs Python code of its own, which transformers would have to trust."""
    configuration = read_configuration(folder)
    if configuration is None or not configuration.auto_map:
        return
    from transformers import CONFIG_MAPPING  # noqa: PLC0415 - seconds, and few models get here

    if configuration.model_type not in CONFIG_MAPPING:
        raise UnsafeWeightsError(
            f"config.json of this {configuration.model_type!r} model, which transformers does not know, asks to "
            f"run code of its own: {', '.join(map(str, configuration.auto_map.values()))}",
            remedy="use a model whose architecture transformers contains; trust_remote_code is never on",
        )
