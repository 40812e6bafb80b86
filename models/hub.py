"""A repository of the Hugging Face hub as a source. The only file that imports huggingface_hub."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from httpx2 import HTTPError
from huggingface_hub import HfApi, get_session, hf_hub_download, hf_hub_url, hf_raise_for_status
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]
from huggingface_hub.utils.tqdm import tqdm

from models.errors import SourceError
from models.progress import Progress
from models.weight_source import Contents, SourceFile, narrow

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

_PARTIAL_CONTENT = 206
_UNREACHABLE = (OfflineModeIsEnabled, LocalEntryNotFoundError, FileMetadataError, HTTPError)


@dataclass(frozen=True, slots=True)
class HubSource:
    """``hf:org/name[/inner][@revision]``: a branch, tag or commit of a repository, the default branch if None.

    ``inner`` is a file or folder in it. ``endpoint`` None is huggingface_hub's own (HF_ENDPOINT), and so are its
    token and its timeouts.
    """

    repo: str
    inner: str = ""
    revision: str | None = None
    endpoint: str | None = None

    def __str__(self) -> str:
        path = f"{self.repo}/{self.inner}" if self.inner else self.repo
        return f"hf:{path}@{self.revision}" if self.revision else f"hf:{path}"

    def contents(self) -> Contents:
        """The files at the revision, which is resolved to a commit; SourceError when that cannot be had."""
        with self._explained():
            info = HfApi(endpoint=self.endpoint).model_info(self.repo, revision=self.revision, files_metadata=True)
        files = tuple(_source_file(sibling) for sibling in info.siblings or ())
        return replace(narrow(files, self.inner, str(self)), revision=info.sha)

    def fetch(
        self, contents: Contents, wanted: Sequence[SourceFile], scratch: Path, progress: Progress, /
    ) -> Path:
        """Download the wanted files of the commit that was listed; huggingface_hub's cache is read first."""
        bar = _bar_that_tells(progress, sum(file.size_bytes for file in wanted))
        progress.step(f"downloading {len(wanted)} files from {self}")
        for file in wanted:
            with self._explained():
                hf_hub_download(
                    self.repo,
                    contents.key(file),
                    revision=contents.revision,
                    local_dir=scratch,
                    endpoint=self.endpoint,
                    tqdm_class=bar,
                )
        return scratch / contents.root

    def read(self, contents: Contents, file: SourceFile, start: int, stop: int, /) -> bytes:
        """One HTTP request for the range. SourceError when the hub answers with something else than the range."""
        url = hf_hub_url(self.repo, contents.key(file), revision=contents.revision, endpoint=self.endpoint)
        headers = {**build_hf_headers(), "range": f"bytes={start}-{stop - 1}"}
        with self._explained(), get_session().stream("GET", url, headers=headers, follow_redirects=True) as answer:
            hf_raise_for_status(answer)
            if answer.status_code != _PARTIAL_CONTENT:
                raise SourceError(
                    f"{self}: the hub sends {file.name} only as a whole",
                    remedy="import the model: stowage models import",
                )
            return bytes(answer.read())

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except GatedRepoError as error:
            raise SourceError(
                f"{self}: the repository is gated", remedy="accept its terms on the hub and set HF_TOKEN"
            ) from error
        except RevisionNotFoundError as error:
            raise SourceError(f"{self}: no such revision", remedy="name a branch, tag or commit") from error
        except (RepositoryNotFoundError, HFValidationError) as error:
            raise SourceError(
                f"{self}: no such repository, or it is private", remedy="check the name, or set HF_TOKEN"
            ) from error
        except _UNREACHABLE as error:
            raise SourceError(
                f"{self}: the hub cannot be reached: {error}",
                remedy="check the network, HF_HUB_OFFLINE and HF_ENDPOINT, or copy the files here and use file:",
            ) from error


def _source_file(sibling: RepoSibling) -> SourceFile:
    sha256 = sibling.lfs.sha256 if sibling.lfs else None
    return SourceFile(sibling.rfilename, sibling.size or 0, sha256)


def _bar_that_tells(progress: Progress, total_bytes: int) -> type[tqdm]:
    """The progress bar class that huggingface_hub asks for: draws nothing and passes the bytes on."""
    done_bytes = 0

    class Bar(tqdm):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})  # type: ignore[no-untyped-call]

        def update(self, n: float | None = 1) -> None:
            nonlocal done_bytes
            done_bytes += int(n or 0)
            progress.advance(min(done_bytes, total_bytes), total_bytes)

        def update_transfer(self, n: float | None = 1) -> None:
            """Bytes on the wire, which Xet reports beside the bytes of the file."""

    return Bar
