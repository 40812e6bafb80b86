"""Bring a model version into the store: list, select, fetch, check, convert, describe, commit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.errors import UnsafeWeightsError, VersionNotFoundError
from models.file_integrity import check_sha256, copy_file, move_file, sha256_of
from models.importing.configuration import read_configuration
from models.importing.describe import Provenance, describe
from models.importing.fixed_facts import canonical, check_same
from models.local_store import Staging, StoredModel
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
from models.store import Store
from models.types import WeightFormat
from models.weight_source import Contents, Source, SourceFile


def import_model(spec: ModelSpec, store: Store, progress: Progress) -> StoredModel:
    """The version that ``spec`` describes, brought into the store first unless it is there.

    SourceError, UnsafeWeightsError or ChecksumError when the source cannot be taken (ConfigError for an ONNX graph
    that does not load); VersionNotFoundError when
    the version is not there and ``spec`` names no source; StoreError when the version that is there was made
    from something else, since versions never change.
    """
    try:
        stored = store.get(spec.id)
    except VersionNotFoundError as error:
        if spec.source is None:
            remedy = f"name a source, or import it: stowage models import {spec.id} --source SOURCE"
            raise VersionNotFoundError(error.message, remedy=remedy) from error
        tokenizer = None if spec.tokenizer is None else parse_source(spec.tokenizer)
        job = _Import(spec, parse_source(spec.source), tokenizer, progress)
        stored = store.add(spec.id, job.fill)
    check_same(spec, stored.manifest)
    return stored


@dataclass(frozen=True, slots=True)
class _Import:
    """One import at work; ``fill`` is what the store calls."""

    spec: ModelSpec
    source: Source
    tokenizer: Source | None
    progress: Progress

    def fill(self, staging: Staging) -> Manifest:
        """Put the version's files into the staging folder and describe them.

        The small files come first: what they rule out is refused before any weights are moved.
        """
        self.progress.step(f"importing {self.spec.id} from {self.source}")
        contents = self.source.contents()
        selection = select_files(contents, str(self.source), allow_pickle=self.spec.allow_pickle)
        self._place(self.source, contents, selection.sidecars, staging)
        _refuse_own_code(staging.files)
        weights_format = self._add_weights(contents, selection, staging)
        if self.tokenizer is not None:
            self._replace_tokenizer(self.tokenizer, staging)
        provenance = Provenance(
            source=str(self.source),
            revision=contents.revision,
            tokenizer_source=canonical(self.spec.tokenizer),
            licence=contents.licence,
        )
        manifest = describe(staging.files, self.spec, weights_format, provenance)
        check_same(self.spec, manifest)
        return manifest

    def _add_weights(self, contents: Contents, selection: Selection, staging: Staging) -> WeightFormat:
        """Copy the weights, or convert those that are not served as they are; their format from now on."""
        if selection.format is WeightFormat.SAFETENSORS or selection.format is WeightFormat.ONNX:
            self._place(self.source, contents, selection.weights, staging)
            return selection.format
        (weights,) = selection.weights
        path = self.source.fetch(contents, [weights], staging.scratch, self.progress) / weights.name
        check_sha256(weights.name, sha256_of(path), weights.sha256)
        self._convert(path, selection.format, staging.files)
        return WeightFormat.SAFETENSORS

    def _convert(self, path: Path, weights_format: WeightFormat | None, target: Path) -> None:
        from models.convert import convert_gguf, convert_pickle  # noqa: PLC0415 - torch, only to convert

        dtype = self.spec.dtype or "float32"
        self.progress.step(f"converting {path.name} to safetensors ({dtype}): once, it can take a minute")
        if weights_format is WeightFormat.GGUF:
            convert_gguf(path, target, dtype)
        else:
            convert_pickle(path, target, dtype)

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
        total_bytes, done_bytes = sum(file.size_bytes for file in files), 0
        for file in files:
            target = staging.files / name_in_version(file)
            place = move_file if root.is_relative_to(staging.scratch) else copy_file
            place(root / file.name, target, file.sha256)
            done_bytes += file.size_bytes
            self.progress.advance(done_bytes, total_bytes)


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
