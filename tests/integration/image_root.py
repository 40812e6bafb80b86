"""The image in a folder: files, environment and commands of its last stage, with the packages that are here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import entry_points
from pathlib import Path

from tests.unit.cluster.image.dockerfile import (
    LAST_STAGE,
    as_list,
    context_files,
    environment,
    health_command,
    of_stage,
)
from tests.unit.source_tree import ROOT

_FOLDERS = ("/opt/", "/srv/", "/home/")
_COMMANDS = ("ray", "serve")  # those of packages that a node starts


class ImageRoot:
    """``folder`` stands for the root of a container.

    What pip does in the first stage is not done again: the virtual environment is new, and sees the packages of
    that of the tests, but not this project, which is installed there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for run in of_stage("packages", "RUN"):
            if run.startswith("python -m venv "):
                self._make_environment(Path(self.inside(run.rpartition(" ")[2])))
        for value in of_stage(LAST_STAGE, "COPY"):
            self._copy(value.split())
        for run in of_stage(LAST_STAGE, "RUN"):
            if "compileall" in run:
                assert self.run("sh", "-c", self.inside(run)).returncode == 0
        Path(self.environment["HOME"]).mkdir(parents=True)

    @property
    def environment(self) -> dict[str, str]:
        """All of it: nothing comes from the machine but where its own commands are."""
        given = {name: self.inside(value) for name, value in environment().items()}
        return {**given, "PATH": given["PATH"].replace("$PATH", os.defpath)}

    @property
    def working_directory(self) -> Path:
        return Path(self.inside(of_stage(LAST_STAGE, "WORKDIR")[0]))

    def inside(self, text: str) -> str:
        """``text`` with the paths of the image as those of this folder."""
        for each in _FOLDERS:
            text = text.replace(each, f"{self._folder}{each}")
        return text

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """A command in the container, with ``more`` in its environment."""
        return subprocess.run(
            command,
            cwd=self.working_directory if self.working_directory.exists() else self._folder,
            env=self.environment | more,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def start(self, *command: str, **more: str) -> subprocess.Popen[str]:
        """The container: ``command`` as the arguments of ENTRYPOINT."""
        (entrypoint,) = of_stage(LAST_STAGE, "ENTRYPOINT")
        return subprocess.Popen(
            [*as_list(entrypoint), *command],
            cwd=self.working_directory,
            env=self.environment | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def is_healthy(self, **more: str) -> bool:
        return self.run(*health_command(), **more).returncode == 0

    def _make_environment(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        packages = next((folder / "lib").glob("python*")) / "site-packages"
        for installed in Path(sysconfig.get_path("purelib")).iterdir():
            if "stowage" not in installed.name:
                (packages / installed.name).symlink_to(installed)
        for name in _COMMANDS:
            (point,) = entry_points(group="console_scripts", name=name)
            _write_command(folder / "bin", name, f"from {point.module} import {point.attr}\n\n{point.attr}()\n")

    def _copy(self, words: list[str]) -> None:
        *sources, target = [word for word in words if not word.startswith("--")]
        options = dict(word.removeprefix("--").split("=") for word in words if word.startswith("--"))
        if "from" in options:
            return
        for source in sources:
            for path in context_files():
                if f"{path}/".startswith(f"{source}/"):
                    below = path.removeprefix(source).lstrip("/") or (
                        Path(path).name if target.endswith("/") else ""
                    )
                    copied = Path(self.inside(target), below)
                    copied.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / path, copied)
                    copied.chmod(int(options.get("chmod", "644"), 8))


def _write_command(folder: Path, name: str, code: str) -> None:
    command = folder / name
    command.write_text(f"#!{folder / 'python'}\n{code}")
    command.chmod(0o755)


assert sys.prefix != sys.base_prefix, "the tests run in a virtual environment"
