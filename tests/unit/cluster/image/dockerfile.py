"""The Dockerfile of a node as data, and the files that a build of it gets."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

from docker.utils.build import exclude_paths
from dockerfile_parse import DockerfileParser

from tests.unit.source_tree import ROOT

FOLDER = ROOT / "cluster" / "image"
DOCKERFILE = FOLDER / "Dockerfile"
LAST_STAGE = "runtime"


@dataclass(frozen=True)
class Instruction:
    """``stage`` is the name of its stage, empty before the first; comments are left out."""

    stage: str
    kind: str
    value: str


def instructions() -> list[Instruction]:
    """All of them, in their order."""
    found: list[Instruction] = []
    stage = ""
    for row in _parser().structure:
        kind, value = row["instruction"], row["value"]
        if kind == "FROM":
            stage = value.rpartition(" ")[2]
        if kind != "COMMENT":
            found.append(Instruction(stage, kind, value))
    return found


def of_stage(stage: str, kind: str) -> list[str]:
    return [each.value for each in instructions() if (each.stage, each.kind) == (stage, kind)]


def environment() -> dict[str, str]:
    """What a container starts with: the ENV of the last stage."""
    return dict(_parser().envs)


def arguments() -> dict[str, str]:
    """Every ARG that has a default, with it."""
    found = (each.value.partition("=") for each in instructions() if each.kind == "ARG")
    return {name: default for name, equals, default in found if equals}


def as_list(value: str) -> list[str]:
    """An ENTRYPOINT or CMD in JSON."""
    words: list[str] = json.loads(value)
    return words


def health_command() -> list[str]:
    """The command of HEALTHCHECK, without its options."""
    (value,) = of_stage(LAST_STAGE, "HEALTHCHECK")
    return as_list(value.partition(" CMD ")[2])


def context_files() -> set[str]:
    """What the builder gets of the repository, by Docker's own reading of .dockerignore."""
    patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    paths: set[str] = exclude_paths(str(ROOT), patterns)
    own = {".dockerignore", "Dockerfile"}  # what the builder itself goes by, named or not
    return {path for path in paths - own if (ROOT / path).is_file()}


def _parser() -> DockerfileParser:
    return DockerfileParser(fileobj=io.BytesIO(DOCKERFILE.read_bytes()), env_replace=False)
