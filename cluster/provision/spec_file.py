"""``cluster/cluster.yaml``, read and checked."""

from __future__ import annotations

from pathlib import Path

from cluster.config.config_file import ConfigFile, Problem
from cluster.config.schema_check import schema_complaints
from cluster.config.serve_config import describe
from cluster.provision.spec import ClusterSpec
from cluster.provision.spec_rules import broken_rules
from models.errors import ConfigError


def load_spec(path: Path) -> ClusterSpec:
    """The valid specification at ``path``; ConfigError lists every problem with its line."""
    file = ConfigFile.read(path)
    problems = check_spec(file)
    if problems:
        raise ConfigError(describe(path, problems), remedy="docs/cluster.md describes the fields")
    return ClusterSpec.model_validate(file.value)


def check_spec(file: ConfigFile) -> list[Problem]:
    """All problems of the file, in its order. What its parts ask of each other only where each is well-formed."""
    complaints = [] if file.root is None and file.complaints else schema_complaints(file.value, ClusterSpec)
    if not complaints and not file.complaints:
        complaints = list(broken_rules(ClusterSpec.model_validate(file.value)))
    problems = {*file.complaints, *(file.problem(complaint) for complaint in complaints)}
    return sorted(problems, key=lambda problem: (problem.line, problem.path, problem.message))
