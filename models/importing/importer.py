"""Bring a model version into the store: list, select, fetch, check, convert, describe, commit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from models.errors import VersionNotFoundError
from models.file_integrity import check_sha256, copy_file, move_file, sha256_of
from models.importing.configuration import CONFIG_FILE
from models.importing.fixed_facts import check_same
from models.importing.gathering import Brought, Gathering
from models.importing.json_file import record_dtype
from models.importing.settle import CONVERSION_DTYPE, settle
from models.importing.tensors import TensorTotals, count_initializers, safetensors_files
from models.local_store import Staging, StoredModel
from models.manifest import Manifest
from models.progress import Progress
from models.safetensors_file import read_header
from models.selection import Selection, is_weight_file, name_in_version
from models.spec import ModelSpec
from models.store import Store
from models.types import Task, WeightFormat
from models.weight_source import Contents, Source


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
        gathering = Gathering.of(spec, spec.source, progress)

        def fill(staging: Staging) -> Manifest:
            progress.step(f"importing {spec.id} from {gathering.source}")
            return gathering.fill(staging, _Weights(spec, gathering.source, progress))

        stored = store.add(spec.id, fill)
    check_same(spec, stored.manifest)
    return stored


@dataclass(frozen=True, slots=True)
class _Weights:
    """The weights of one import: they wait beside the version until it is known how they must lie in it."""

    spec: ModelSpec
    source: Source
    progress: Progress

    def bring(self, contents: Contents, selection: Selection, staging: Staging) -> Brought:
        """Fetch, check and if need be convert them."""
        root = self.source.fetch(contents, selection.weights, staging.scratch, self.progress)
        waiting = staging.scratch / "waiting"
        waiting.mkdir()
        for file in selection.weights:
            if file.sha256 is not None:
                check_sha256(file.name, sha256_of(root / file.name), file.sha256)
            (waiting / name_in_version(file)).symlink_to((root / file.name).resolve())
        if selection.format is WeightFormat.ONNX:
            self._place(waiting, staging)
            graph = next(staging.files.glob("*.onnx"))
            return Brought(WeightFormat.ONNX, lambda _: count_initializers(graph))
        if selection.format is not WeightFormat.SAFETENSORS:
            (path,) = waiting.iterdir()
            waiting = self._convert(path, selection.format, staging)
        return Brought(WeightFormat.SAFETENSORS, partial(self._store, waiting, staging))

    def _convert(self, path: Path, weights_format: WeightFormat | None, staging: Staging) -> Path:
        """The folder that holds the weights as safetensors; the texts beside them move to the version."""
        from models.convert import convert_gguf, convert_pickle  # noqa: PLC0415 - torch, only to convert

        dtype = self.spec.dtype or CONVERSION_DTYPE
        self.progress.step(f"converting {path.name} to safetensors ({dtype}): once, it can take a minute")
        converted = staging.scratch / "converted"
        converted.mkdir()
        (convert_gguf if weights_format is WeightFormat.GGUF else convert_pickle)(path, converted, dtype)
        for text in sorted(converted.iterdir()):
            if not is_weight_file(text.name):
                text.rename(staging.files / text.name)
        return converted

    def _store(self, waiting: Path, staging: Staging, task: Task) -> TensorTotals:
        """Place the weights, or write them anew as the model takes them, and count them."""
        files = safetensors_files(waiting)
        stored = [tensor for path in files for tensor in read_header(path)]
        settlement = settle(stored, staging.files, task, self.spec.dtype)
        if settlement.rewriting is None:
            self._place(waiting, staging)
        else:
            self.progress.step(f"writing the weights as they will be mapped ({settlement.totals.dtype}), once")
            settlement.rewriting.write(files, staging.files, self.progress)
        if self.spec.dtype is not None:
            record_dtype(staging.files / CONFIG_FILE, self.spec.dtype)
        return settlement.totals

    def _place(self, waiting: Path, staging: Staging) -> None:
        """Move what was downloaded or converted; copy what is the source's own."""
        paths = sorted(waiting.iterdir())
        total_bytes, done_bytes = sum(path.stat().st_size for path in paths), 0
        for path in paths:
            real = path.resolve()
            place = move_file if real.is_relative_to(staging.scratch.resolve()) else copy_file
            place(real, staging.files / path.name, None)
            done_bytes += (staging.files / path.name).stat().st_size
            self.progress.advance(done_bytes, total_bytes)
