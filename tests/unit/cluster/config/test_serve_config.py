from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cluster.config.config_file import ConfigFile
from cluster.config.replicas import ReplicaRange
from cluster.config.serve_config import check_config, load_config, valid_config
from models.errors import ConfigError

VALID = """\
http_options: {host: 0.0.0.0, port: 8123}
applications:
  - name: router
    route_prefix: /
    import_path: deployments.app:build_router
    deployments:
      - name: Router
        user_config:
          routes: {m: {version: 2}}
  - name: m@1
    route_prefix: null
    import_path: deployments.app:build_model
    args: {model: m, source: "file:/m"}
  - name: m@2
    route_prefix: null
    import_path: deployments.app:build_model
    args: {model: m, version: 2}
"""
POLICY = "applications[0].deployments[0].user_config"


def problems(text: str) -> dict[str, tuple[int, str]]:
    return {p.path: (p.line, p.message) for p in check_config(ConfigFile.parse(text))}


def test_a_valid_file_is_read_with_serve_s_defaults_and_ours() -> None:
    file = ConfigFile.parse(VALID)
    assert check_config(file) == []
    config = valid_config(file)
    assert config.router == "router"
    assert [str(args.id) for args in config.model_args] == ["m@1", "m@2"]
    assert config.http.base_url == "http://127.0.0.1:8123"


@pytest.mark.parametrize(
    ("old", "new", "path", "line", "part"),
    [
        ("http_options:", "http_option:", "http_option", 1, "did you mean 'http_options'?"),
        ("port: 8123", "prt: 8123", "http_options.prt", 1, "did you mean 'port'?"),
        ("name: m@1", "name: m", "applications[1].name", 10, "must be 'm@1'"),
        ("name: m@1", "name: m@2", "applications[1].name", 10, "must be 'm@1'"),
        ("source:", "sourc:", "applications[1].args.sourc", 13, "did you mean 'source'?"),
        ("model: m,", "model: '-',", "applications[1].args.model", 13, "model name '-' is not valid: use letters"),
        ("version: 2}\n", "version: 2-}\n", "applications[2].args.version", 17, "model version '2-' is not valid"),
        ("file:/m", "fil:/m", "applications[1].args.source", 13, "did you mean file:"),
        ("version: 2}\n", "version: 1}\n", "applications[2].args", 17, "deployed already, by applications[1]"),
        ("route_prefix: /\n", "route_prefix: /r\n", "applications[0].route_prefix", 4, "must be '/', not '/r'"),
        ("route_prefix: null", "route_prefix: /m", "applications[1].route_prefix", 11, "route_prefix: null"),
        ("build_model", "build_modl", "applications[1].import_path", 12, "'deployments.app:build_model'?"),
        ("build_router", "build_model", "applications", 2, "not 0"),
        ("{m: {", "{n: {", f"{POLICY}.routes.n.version", 9, "known: m"),
        ("{m: {version: 2}}", "{m: {version: 3}}", f"{POLICY}.routes.m.version", 9, "known: 1, 2"),
        ("routes:", "route:", f"{POLICY}.route", 9, "did you mean 'routes'?"),
        ("name: Router", "name: Ruter", "applications[0].deployments[0].name", 7, "did you mean 'Router'?"),
        ("name: router", "name: r@1", "applications[0].name", 3, "without '@'"),
        ("name: Router", "num_replica: 1", "applications[0].deployments[0].name", 7, "required"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_with_its_line(old: str, new: str, path: str, line: int, part: str) -> None:
    found = problems(VALID.replace(old, new, 1))
    assert path in found
    assert found[path][0] == line
    assert part in found[path][1]


def test_a_route_prefix_left_out_would_be_the_router_s() -> None:
    found = problems(VALID.replace("    route_prefix: null\n", "", 1))
    assert "route_prefix: null" in found["applications[1].route_prefix"][1]


def test_a_duplicate_application_is_reported_once_where_it_stands() -> None:
    block = VALID[VALID.index("  - name: m@1") : VALID.index("  - name: m@2")]
    assert problems(VALID + block) == {
        "applications[3].name": (18, "'m@1' is deployed already, by applications[1]")
    }


def test_a_model_s_card_cannot_be_overridden() -> None:
    override = "    deployments: [{name: Model, user_config: {a: 1}, max_queued_requests: 5}]\n"
    assert problems(VALID + override).keys() == {"applications[2].deployments[0].user_config"}


@pytest.mark.parametrize("options", ["{num_cpus: 1}", "{num_cpus: 1, memory: null}", "{}"])
def test_an_override_may_not_drop_the_byte_budget(options: str) -> None:
    found = problems(VALID + f"    deployments: [{{name: Model, ray_actor_options: {options}}}]\n")
    assert found.keys() == {"applications[2].deployments[0].ray_actor_options"}
    assert "num_cpus in args" in found["applications[2].deployments[0].ray_actor_options"][1]


def test_an_override_with_a_byte_budget_is_valid() -> None:
    assert problems(VALID + "    deployments: [{name: Model, ray_actor_options: {memory: 1.0e9}}]\n") == {}


def test_the_router_has_no_byte_budget_to_drop() -> None:
    override = "      - name: Router\n        ray_actor_options: {num_cpus: 1}\n"
    assert problems(VALID.replace("      - name: Router\n", override)) == {}


def test_a_second_override_of_the_same_deployment_is_refused() -> None:
    found = problems(VALID + "    deployments: [{name: Model, num_replicas: 2}, {name: Model, num_replicas: 3}]\n")
    assert found == {
        "applications[2].deployments[1]": (18, "there is one Model: write all that overrides it into one item")
    }


def test_overridden_replicas_go_with_their_model() -> None:
    file = ConfigFile.parse(VALID + "    deployments: [{name: Model, num_replicas: 3}]\n")
    assert [model.replicas for model in valid_config(file).models] == [ReplicaRange(1, 1), ReplicaRange(3, 3)]


def test_all_problems_are_reported_at_once_in_the_order_of_the_file() -> None:
    text = VALID.replace("port: 8123", "port: x").replace("source:", "sourc:").replace("name: m@2", "nam: m@2")
    lines = [problem.line for problem in check_config(ConfigFile.parse(text))]
    assert lines == sorted(lines)
    assert {1, 13, 14} <= set(lines)


@pytest.mark.parametrize(
    "text", ["", "[]", "applications: 3", "applications: [3]", "applications: [{import_path: [a]}]"]
)
def test_files_of_another_shape_have_problems(text: str) -> None:
    assert problems(text)


FIELDS = ("name", "import_path", "args", "model", "version", "route_prefix", "deployments", "user_config",
          "routes", "limits", "runtime_env", "py_modules", "working_dir", "ray_actor_options",
          "autoscaling_config", "logging_config", "http_options", "port")  # fmt: skip
VALUES = st.none() | st.integers(-1, 9) | st.sampled_from(["m@1", "m", "deployments.app:build_model", "/", ""])
TREES = st.recursive(
    VALUES, lambda tree: st.lists(tree, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), tree), max_leaves=25
)


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), TREES), max_size=3), st.booleans())
def test_whatever_the_fields_hold_the_answer_is_a_list_of_problems(
    apps: list[dict[str, object]], router: bool
) -> None:
    document = {
        "applications": [
            {**app, "import_path": f"deployments.app:build_{'router' if router else 'model'}"} for app in apps
        ]
    }
    for problem in check_config(ConfigFile.parse(yaml.safe_dump(document))):
        assert problem.line >= 1
        assert problem.message


def test_what_only_serve_says_of_the_whole_is_said_too() -> None:
    found = problems(VALID.replace("name: router", "name: router\n    port: 1"))
    assert "set port in the top level" in found["(file)"][1]


def test_a_router_without_a_name_has_a_problem() -> None:
    assert (
        "without '@', not None" in problems(VALID.replace("name: router", "args: {}"))["applications[0].name"][1]
    )


def test_a_value_that_serve_trips_over_is_a_problem_of_its_application() -> None:
    found = problems(VALID.replace("      - name: Router\n", "      -\n      - name: Router\n"))
    assert found["applications[0]"][0] == 3


def test_what_is_not_yaml_has_that_one_problem() -> None:
    (problem,) = check_config(ConfigFile.parse("a: ["))
    assert problem.message.startswith("not YAML")


def test_loading_an_invalid_file_lists_its_problems(tmp_path: Path) -> None:
    path = tmp_path / "serve_config.yaml"
    path.write_text(VALID.replace("source:", "sourc:").replace("name: m@2", "name: n"))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert f"{path}:13: applications[1].args.sourc: unknown field" in str(caught.value)
    assert f"{path}:14: applications[2].name: must be 'm@2'" in str(caught.value)


def test_loading_a_valid_file(tmp_path: Path) -> None:
    path = tmp_path / "serve_config.yaml"
    path.write_text(VALID)
    assert load_config(path).http.port == 8123
