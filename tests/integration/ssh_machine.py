"""What stands on PATH as ssh, rsync, docker, ray and others, so that `ray up` finds machines where there are none.

A machine is a folder: what SSH would run on it runs here, by a real shell, with that folder as its home; a
container is another folder in it. Docker's and Ray's commands are written down with their environment, not run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PROGRAMS = ("ssh", "rsync", "docker", "ray", "id", "chown", "nvidia-smi")
MACHINES = "STOWAGE_TEST_MACHINES"
USER_ID = "1000"
_MOUNTS = "/tmp/ray_tmp_mount"  # noqa: S108 - where Ray puts files on a host
_TARGET = re.compile(r"\w+@([\d.]+)")


def install(folder: Path) -> dict[str, str]:
    """Puts the programs into ``folder``; returns the environment in which they are found first."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name in PROGRAMS:
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} "$@"\n')
        script.chmod(0o755)
    return {MACHINES: str(folder), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


def container(folder: Path, address: str) -> Path:
    """The home of the user in the container of a machine."""
    return folder / address / "container"


def log(folder: Path) -> list[dict[str, Any]]:
    """Everything that docker and ray were asked for, machine by machine, in order."""
    path = folder / "log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main(program: str, arguments: Sequence[str]) -> int:
    """Exit code of the program that is stood in for."""
    known = {"ssh": _ssh, "rsync": _rsync, "docker": _docker, "ray": _ray, "id": _id}
    return known[program](Path(os.environ[MACHINES]), arguments) if program in known else 0


def _ssh(folder: Path, arguments: Sequence[str]) -> int:
    """Runs the command as the machine, whose login shell finds these programs too."""
    at, address = next(
        (index, match[1]) for index, each in enumerate(arguments) if (match := _TARGET.fullmatch(each))
    )
    machine = folder / address
    machine.mkdir(exist_ok=True)
    (machine / ".bashrc").write_text(f"export PATH={folder / 'bin'}:{Path(sys.executable).parent}:$PATH\n")
    command = " ".join(arguments[at + 1 :]).replace(_MOUNTS, str(machine / "mounts"))
    own = {"HOME": str(machine), "MACHINE": address, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    ran = subprocess.run(["bash", "-c", command], env={**os.environ, **own}, cwd=machine, check=False)
    return ran.returncode


def _rsync(folder: Path, arguments: Sequence[str]) -> int:
    """From here to a machine, or on a machine into its container."""
    source, target = arguments[-2:]
    name, _, path = target.partition(":")
    if match := _TARGET.fullmatch(name):
        path = path.replace(_MOUNTS, str(folder / match[1] / "mounts"))
    if Path(source).is_dir():
        shutil.copytree(source, path, dirs_exist_ok=True)
    else:
        shutil.copy(source, path)
    return 0


def _docker(folder: Path, arguments: Sequence[str]) -> int:
    address, command, *rest = os.environ["MACHINE"], *arguments
    started = folder / address / "container.json"
    _write(folder, "docker", arguments, {})
    match command:
        case "run":
            _start(container(folder, address), rest)
            started.write_text(json.dumps(rest))
        case "exec":
            return _exec(container(folder, address), json.loads(started.read_text()), rest)
        case "inspect" if "Config.Env" in " ".join(rest):
            sys.stdout.write(json.dumps([f"HOME={container(folder, address)}"]))
        case "inspect":
            sys.stdout.write(str(started.exists()).lower())
        case "stop":
            started.unlink(missing_ok=True)
    return 0


def _start(home: Path, arguments: Sequence[str]) -> None:
    """Mounts are links."""
    home.mkdir(exist_ok=True)
    for option in re.findall(r"-v (\S+)", " ".join(arguments)):
        source, _, target = option.partition(":")
        Path(target).symlink_to(source)


def _exec(home: Path, run: Sequence[str], arguments: Sequence[str]) -> int:
    variables = dict(pair.partition("=")[::2] for pair in re.findall(r"--env (\S+)", " ".join(run)))
    words = [each for each in arguments if each not in ("-it", "-i")][1:]
    (home / ".bashrc").write_text((home.parent / ".bashrc").read_text())
    return subprocess.run(words, env={**os.environ, **variables, "HOME": str(home)}, check=False).returncode


def _ray(folder: Path, arguments: Sequence[str]) -> int:
    """The token is read as Ray would."""
    token = Path.home() / ".ray" / "auth_token"
    known = {name: value for name, value in os.environ.items() if name.startswith(("RAY_", "STOWAGE_"))}
    _write(folder, "ray", arguments, {**known, "token": token.read_text() if token.exists() else ""})
    return 0


def _id(_folder: Path, _arguments: Sequence[str]) -> int:
    sys.stdout.write(USER_ID)
    return 0


def _write(folder: Path, program: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    entry = {
        "address": os.environ["MACHINE"],
        "program": program,
        "arguments": list(arguments),
        "environment": dict(environment),
    }
    with (folder / "log.jsonl").open("a") as file:
        file.write(json.dumps(entry) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
