"""What of the repository gets into the image."""

from __future__ import annotations

import subprocess

from tests.unit.cluster.image.dockerfile import FOLDER, LAST_STAGE, context_files, of_stage
from tests.unit.source_tree import ROOT

CODE = ("cluster/", "deployments/", "models/")


def tracked() -> set[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {path for path in listed.splitlines() if (ROOT / path).is_file()}


def test_it_is_the_code_and_what_the_build_reads() -> None:
    found = context_files()
    assert {path for path in found if not path.startswith(CODE)} == {
        "constraints.txt",
        "constraints-vllm.txt",
        "pyproject.toml",
        "serve_config.yaml",
    }
    code = {path for path in tracked() if path.startswith(CODE) and not path.startswith("cluster/image/")}
    assert code <= found
    assert {path for path in found if "__pycache__" in path} == set()


def test_no_secret_gets_into_it() -> None:
    secrets = FOLDER / "secrets"
    made = not secrets.exists()
    secrets.mkdir(exist_ok=True)
    probe = secrets / "probe"
    try:
        probe.write_text("secret")
        assert {path for path in context_files() if path.startswith("cluster/image/")} == {"cluster/image/stowage"}
        assert subprocess.run(["git", "check-ignore", "-q", probe], cwd=ROOT, check=False).returncode == 0
    finally:
        probe.unlink()
        if made:
            secrets.rmdir()


def test_what_is_copied_is_there() -> None:
    found = context_files()
    for words in (value.split() for value in of_stage(LAST_STAGE, "COPY")):
        *sources, _target = [word for word in words if not word.startswith("--")]
        if not any(word.startswith("--from=") for word in words):
            assert [each for each in sources if not any(f"{path}/".startswith(f"{each}/") for path in found)] == []
