"""What a model's manifest would say, from its small files and the headers of its weights."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from models.errors import VersionNotFoundError
from models.importing.gathering import Brought, Gathering
from models.importing.headers import write_header
from models.importing.settle import CONVERSION_DTYPE, settle
from models.importing.tensors import TensorTotals, count_initializers, safetensors_files
from models.local_store import Staging
from models.manifest import Manifest
from models.progress import Progress
from models.safetensors_file import StoredTensor, read_header
from models.selection import INDEX_FILE, Selection, name_in_version
from models.spec import ModelSpec
from models.types import Task, WeightFormat
from models.weight_source import Contents, Source, SourceFile


def preview(spec: ModelSpec, progress: Progress) -> Manifest:
    """The manifest that an import of ``spec`` would write, without ``files``; nothing is stored.

    Of safetensors and GGUF files only the headers are read, wherever they are. An ONNX graph and a pickled state
    dict have none that says everything: such a file is fetched whole, and deleted again. Errors are those of the
    import, except that the source's checksums of the weights are not checked.
    """
    if spec.source is None:
        raise VersionNotFoundError(
            f"{spec.id} is not in the model store, and there is no source to read its headers from",
            remedy="name a source",
        )
    gathering = Gathering.of(spec, spec.source, progress)
    progress.step(f"reading the headers of {spec.id} from {gathering.source}")
    with tempfile.TemporaryDirectory(prefix="stowage-preview-") as folder:
        staging = Staging(Path(folder) / "files", Path(folder) / "scratch")
        staging.files.mkdir()
        staging.scratch.mkdir()
        return gathering.fill(staging, _Headers(spec, gathering.source, progress))


@dataclass(frozen=True, slots=True)
class _Headers:
    """The weights of one preview: files of the right size, of which only the headers are there."""

    spec: ModelSpec
    source: Source
    progress: Progress

    def bring(self, contents: Contents, selection: Selection, staging: Staging) -> Brought:
        """Read what there is to read of them without the tensors."""
        if selection.format is WeightFormat.ONNX:
            self._link(contents, selection.weights, staging, staging.files)
            graph = next(staging.files.glob("*.onnx"))
            return Brought(WeightFormat.ONNX, lambda _: count_initializers(graph))
        stored = self._stored(contents, selection, staging)

        def weigh(task: Task) -> TensorTotals:
            return settle(stored, staging.files, task, self.spec.dtype).totals

        return Brought(WeightFormat.SAFETENSORS, weigh)

    def _stored(self, contents: Contents, selection: Selection, staging: Staging) -> list[StoredTensor]:
        """The tensors that would wait to be stored, after a conversion if it takes one."""
        folder = staging.scratch / "headers"
        folder.mkdir()
        has_no_header = selection.format is None
        for file in selection.weights:
            if has_no_header or file.name == INDEX_FILE:
                self._link(contents, (file,), staging, folder)
            else:
                write_header(self.source, contents, file, folder / name_in_version(file))
        if selection.format is WeightFormat.SAFETENSORS:
            return [tensor for path in safetensors_files(folder) for tensor in read_header(path)]
        return self._converted(folder / name_in_version(selection.weights[0]), selection.format, staging.files)

    def _converted(self, path: Path, weights_format: WeightFormat | None, files: Path) -> list[StoredTensor]:
        from models.convert import preview_gguf, preview_pickle  # noqa: PLC0415 - torch, only to convert

        dtype = self.spec.dtype or CONVERSION_DTYPE
        if weights_format is WeightFormat.GGUF:
            return preview_gguf(path, files, dtype)
        return preview_pickle(path, dtype)

    def _link(self, contents: Contents, wanted: tuple[SourceFile, ...], staging: Staging, target: Path) -> None:
        """Have whole files under the names that they get in the version."""
        root = self.source.fetch(contents, wanted, staging.scratch, self.progress)
        for file in wanted:
            (target / name_in_version(file)).symlink_to((root / file.name).resolve())
