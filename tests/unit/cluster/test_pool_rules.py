"""What a configuration may say of a pool."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.config.config_file import ConfigFile
from cluster.config.serve_config import check_config, valid_config
from cluster.validate import find_problems
from models.types import VersionId

VALID = """\
applications:
  - name: router
    route_prefix: /
    import_path: deployments.app:build_router
    deployments:
      - name: Router
        user_config:
          routes: {a: {version: 2}}
  - name: m@1
    route_prefix: null
    import_path: deployments.app:build_model
    args: {model: m, source: "file:/m"}
  - name: pool-small
    route_prefix: null
    import_path: deployments.pool_app:build_pool
    args:
      name: small
      memory: 4GiB
      models:
        - {model: a, source: "file:/a"}
        - {model: a, version: 2, source: "file:/a", pinned: true}
"""
POOL = "applications[2]"


def problems(text: str) -> dict[str, tuple[int, str]]:
    return {p.path: (p.line, p.message) for p in check_config(ConfigFile.parse(text))}


def test_a_pool_is_read_with_its_models() -> None:
    assert problems(VALID) == {}
    config = valid_config(ConfigFile.parse(VALID))
    assert [str(args.id) for args in config.model_args] == ["m@1", "a@1", "a@2"]
    (pool,) = config.pools
    assert pool.args.pinned == {VersionId("a", "2")}
    assert [model.path for model in pool.models] == [("applications", 2, "args", "models", i) for i in (0, 1)]
    assert [str(model.args.id) for model in config.models] == ["m@1"]


@pytest.mark.parametrize(
    ("old", "new", "path", "line", "part"),
    [
        ("name: pool-small", "name: small", f"{POOL}.name", 13, "must be 'pool-small'"),
        ("name: small", "name: s@1", f"{POOL}.args.name", 17, "not valid"),
        ("memory: 4GiB", "memory: much", f"{POOL}.args.memory", 18, "byte"),
        ("pinned", "pined", f"{POOL}.args.models[1].pined", 21, "did you mean 'pinned'?"),
        ("build_pool", "build_pol", f"{POOL}.import_path", 15, "deployments.pool_app:build_pool"),
        ("{model: a, source", "{model: m, source", f"{POOL}.args.models[0]", 20, "by applications[1]"),
        ('"file:/a", pinned', '"fil:/a", pinned', f"{POOL}.args.models[1].source", 21, "file:"),
        ("{a: {version: 2}}", "{a: {version: 3}}",
         "applications[0].deployments[0].user_config.routes.a.version", 8, "known: 1, 2"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_line(old: str, new: str, path: str, line: int, part: str) -> None:
    found = problems(VALID.replace(old, new))
    assert path in found, found
    assert found[path][0] == line
    assert part in found[path][1]


def test_a_pool_is_reached_through_the_router() -> None:
    changed = VALID.replace(
        "    route_prefix: null\n    import_path: deployments.pool", "    import_path: deployments.pool"
    )
    assert "route_prefix: null" in problems(changed)[f"{POOL}.route_prefix"][1]


@pytest.mark.parametrize(
    "option", ["ray_actor_options: {memory: 1}", "num_replicas: 3", "user_config: {pooled: []}"]
)
def test_what_is_planned_is_not_overridden(option: str) -> None:
    found = problems(f"{VALID}    deployments: [{{name: Pool, {option}}}]\n")
    assert found.keys() == {f"{POOL}.deployments[0].{option.partition(':')[0]}"}


def test_other_options_may_be_overridden() -> None:
    assert problems(VALID + "    deployments: [{name: Pool, graceful_shutdown_timeout_s: 60}]\n") == {}


def test_sources_of_pooled_models_are_looked_for(tmp_path: Path) -> None:
    absent = VALID.replace("memory: 4GiB", f"memory: 4GiB\n      store: {tmp_path}/store").replace(
        "/a", str(tmp_path)
    )
    found, _ = find_problems(ConfigFile.parse(absent.replace(f"file:{tmp_path}", f"file:{tmp_path}/a")))
    assert {problem.path for problem in found} >= {f"{POOL}.args.models[{i}].source" for i in (0, 1)}
