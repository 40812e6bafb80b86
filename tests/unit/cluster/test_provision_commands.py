from __future__ import annotations

from pathlib import Path

import pytest

from cluster.cli import main
from cluster.provision.registry import ProviderName
from tests.unit.cluster.provision.specs import COMMITTED, written


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["cluster", "render", *map(str, arguments)])
    return int(ended.value.code or 0)


def test_it_prints_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("aws", "--spec", COMMITTED) == 0
    assert capsys.readouterr().out == (COMMITTED.parent / "aws.yaml").read_text()


def test_it_writes_the_file(tmp_path: Path) -> None:
    target = tmp_path / "new" / "my.yaml"
    assert run("gcp", "--spec", COMMITTED, "--output", target) == 0
    assert target.read_text() == (COMMITTED.parent / "gcp.yaml").read_text()


@pytest.mark.parametrize("provider", ["aws", "gcp", "azure", "onprem"])
def test_the_committed_files_are_what_the_specification_makes(provider: str) -> None:
    assert run(provider, "--spec", COMMITTED, "--check") == 0


def test_a_difference_is_shown_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = written(tmp_path, {("max_workers",): 12})
    (tmp_path / "aws.yaml").write_text((COMMITTED.parent / "aws.yaml").read_text())
    assert run("aws", "--spec", spec, "--check") == 1
    shown = capsys.readouterr()
    assert "-max_workers: 11\n+max_workers: 12\n" in shown.out
    assert "not what the specification makes (render it again with --output)" in shown.err


def test_a_file_that_is_not_there_differs(tmp_path: Path) -> None:
    assert run("aws", "--spec", COMMITTED, "--check", "--output", tmp_path / "aws.yaml") == 1


def test_a_provider_without_a_section_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("azure", "--spec", written(tmp_path, {("azure",): None})) == 1
    said = capsys.readouterr().err
    assert "the specification of stowage has no section azure (add azure: with store, head, instance_types" in said


def test_a_wrong_specification_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("aws", "--spec", written(tmp_path, {("groups", 1, "accelerator"): "l4"})) == 1
    assert (
        "groups[1].accelerator: device is 'l4', which no device of the table is called" in capsys.readouterr().err
    )


def test_an_unknown_provider_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("ibm") == 2
    said = capsys.readouterr().err
    assert [name for name in ProviderName if name not in said] == []
