from __future__ import annotations

from pathlib import Path

import pytest

from models.errors import ConfigError, StoreError
from models.memory.calibration import (
    CALIBRATION_FILE,
    calibration_path,
    read_calibration,
    store_overheads,
    write_calibration,
)
from models.memory.overheads import MEASURED, Overhead, Overheads
from models.object_store import Bucket

OWN = Overhead(engine="onnx", kind="cpu", host_bytes=123, source="this machine")
CONTENT = Overheads(entries=(OWN,)).model_dump_json()


def test_a_store_without_a_calibration_has_the_measured_table(tmp_path: Path) -> None:
    assert store_overheads(str(tmp_path)) == MEASURED
    assert store_overheads(str(tmp_path / "absent")) == MEASURED


def test_a_calibration_corrects_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    write_calibration(calibration_path(str(tmp_path)), Overheads(entries=(OWN,)))
    found = store_overheads(str(tmp_path))
    assert found.of("onnx", "cpu") == OWN
    assert found.of("embedding", "cpu") == MEASURED.of("embedding", "cpu")


def test_a_bucket_has_one_too(s3_bucket: str) -> None:
    assert store_overheads(f"{s3_bucket}/models") == MEASURED
    Bucket(f"{s3_bucket}/models", StoreError).create(CALIBRATION_FILE, CONTENT.encode())
    assert store_overheads(f"{s3_bucket}/models/").of("onnx", "cpu") == OWN


@pytest.mark.parametrize("content", ["{}", "nonsense", CONTENT.replace("onnx", "abacus")])
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / CALIBRATION_FILE).write_text(content)
    with pytest.raises(ConfigError, match=rf"{CALIBRATION_FILE} is no table of overheads"):
        store_overheads(str(tmp_path))


def test_a_file_that_cannot_be_read_or_written_is_named(tmp_path: Path) -> None:
    (tmp_path / CALIBRATION_FILE).mkdir()
    with pytest.raises(ConfigError, match=rf"{CALIBRATION_FILE} cannot be read"):
        store_overheads(str(tmp_path))
    with pytest.raises(ConfigError, match=rf"{CALIBRATION_FILE} cannot be written"):
        write_calibration(tmp_path / CALIBRATION_FILE, MEASURED)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / CALIBRATION_FILE
    assert read_calibration(path) == Overheads(entries=())
    write_calibration(path, MEASURED)
    assert read_calibration(path) == MEASURED


def test_a_calibration_is_not_written_into_a_bucket() -> None:
    with pytest.raises(ConfigError, match=r"copy the file to s3://b/models/calibration.json"):
        calibration_path("s3://b/models/")
