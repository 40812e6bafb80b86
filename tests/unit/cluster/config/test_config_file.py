from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cluster.config.config_file import Complaint, ConfigFile, YamlPath, format_path
from models.errors import ConfigError

TEXT = """\
http_options:
  port: 8000
applications:
  - name: a
    args:
      model: m
  - name: b
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 1),
        (("http_options", "port"), 2),
        (("applications",), 3),
        (("applications", 0, "name"), 4),
        (("applications", 0, "args", "model"), 6),
        (("applications", 1), 7),
        (("applications", 1, "missing", "deeper"), 7),
    ],
)
def test_line_of_a_path_is_that_of_its_nearest_written_part(path: YamlPath, line: int) -> None:
    assert ConfigFile.parse(TEXT).line(path) == line


def test_a_problem_carries_path_line_and_message() -> None:
    problem = ConfigFile.parse(TEXT).problem(Complaint(("applications", 1, "name"), "wrong"))
    assert (problem.path, problem.line, problem.message) == ("applications[1].name", 7, "wrong")


def test_format_path_of_the_whole_document() -> None:
    assert format_path(()) == "(file)"


def test_duplicate_keys_are_reported_at_every_depth() -> None:
    config = ConfigFile.parse("a: 1\nb:\n  - c: 1\n    c: 2\na: 3\n")
    assert {(p.path, p.line) for p in config.complaints} == {("a", 5), ("b[0].c", 4)}
    assert "first on line 1" in next(p.message for p in config.complaints if p.path == "a")


def test_merge_keys_are_no_duplicates_and_overrides_keep_their_line() -> None:
    config = ConfigFile.parse("base: &base\n  x: 1\n  y: 1\nuse:\n  <<: *base\n  y: 2\n")
    assert config.complaints == ()
    assert config.value == {"base": {"x": 1, "y": 1}, "use": {"x": 1, "y": 2}}
    assert (config.line(("use", "x")), config.line(("use", "y"))) == (2, 6)


def test_aliases_that_multiply_are_walked_once() -> None:
    lines = ["a0: &a0 [1]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    assert ConfigFile.parse("\n".join(lines)).complaints == ()


@pytest.mark.parametrize(("text", "line"), [("a: 1\nb: [", 2), ("a: 2024-13-45", 1), ("? {a: b}\n: c", 1)])
def test_text_that_is_not_yaml_is_one_problem_with_its_line(text: str, line: int) -> None:
    (problem,) = ConfigFile.parse(text).complaints
    assert problem.message.startswith("not YAML: ")
    assert abs(problem.line - line) <= 1


def test_an_unreadable_file_names_its_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        ConfigFile.read(tmp_path / "absent.yaml")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text("ab: -"), st.lists, max_leaves=8))
def test_the_value_is_what_yaml_makes_of_the_text(value: object) -> None:
    assert ConfigFile.parse(yaml.safe_dump(value)).value == value


@given(st.text(alphabet="ab:- \n[]{}&*<?!'\"", max_size=60))
def test_any_text_has_a_value_or_a_problem(text: str) -> None:
    config = ConfigFile.parse(text)
    assert all(problem.line >= 1 for problem in config.complaints)
    assert config.root is not None or config.value is None
