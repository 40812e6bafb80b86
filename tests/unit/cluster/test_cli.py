"""The whole command as its users meet it: arguments in; exit code, standard output and standard error out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from models.version import VERSION
from tests.unit.cluster.conftest import Answer, HttpServer, Stowage
from tests.unit.cluster.live.test_replica_metrics import EXPOSED
from tests.unit.serve_details import application, details


def test_help_and_imports_are_free_of_the_heavy_libraries() -> None:
    program = (
        "import sys, cluster.cli\n"
        "heavy = ('torch', 'transformers', 'ray', 'onnxruntime', 'starlette', 'sqlalchemy')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "command",
    ["", "validate", "plan", "diff", "serve", "status", "models", "models import", "models list", "models show",
     "models verify", "models remove", "keys", "keys create", "keys list", "keys rotate", "keys revoke"],
)  # fmt: skip
def test_every_command_has_help(stowage: Stowage, command: str) -> None:
    outcome = stowage(*command.split(), "--help")
    assert outcome.code == 0
    assert f"Usage: stowage {command}" in outcome.out


@pytest.mark.parametrize(
    "command",
    ["models show name-without-version", "models import x", "models import --config c.yaml --store /s",
     "models import a/b --source file:/x", "models verify", "models verify a@1 --all", "plan", "diff a", "no",
     "plan c.yaml --node-memory much", "models import x --source file:/x --task fly",
     "keys create", "keys create x --expires 3y", "keys create x --limit tokens", "keys create x --role boss",
     "keys list --state sqlite:////x --config c.yaml", "keys rotate"],
)  # fmt: skip
def test_wrong_usage_is_exit_code_2_with_a_hint(stowage: Stowage, command: str) -> None:
    outcome = stowage(*command.split())
    assert outcome.code == 2
    assert "--help' for help" in outcome.err


def test_a_model_s_life_in_the_store(stowage: Stowage, tiny_model: Path, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "store")
    imported = stowage("models", "import", "tiny@2", "--source", f"file:{tiny_model}", "--json", *store)
    assert imported.code == 0
    assert imported.json[0]["num_parameters"] == 1152
    assert "importing tiny@2" in imported.err
    assert stowage("models", "list", "--json", *store).json[0]["version"] == "2"
    assert "tiny@2" in stowage("models", "list", *store).out
    assert "architecture.num_hidden_layers" in stowage("models", "show", "tiny@2", *store).out
    assert stowage("models", "show", "tiny@2", "--json", *store).json["files"][0]["path"] == "config.json"
    assert stowage("models", "verify", "tiny@2", "--json", *store).json == [{"version": "tiny@2", "error": None}]
    assert stowage("models", "remove", "tiny@2", "--yes", "--json", *store).json["removed"] == "tiny@2"
    assert stowage("models", "list", "--json", *store).json == []


def test_verify_checks_every_version_and_names_the_damaged_file(
    stowage: Stowage, tiny_model: Path, tmp_path: Path
) -> None:
    store = ("--store", tmp_path / "store")
    for version in ("a@1", "b@1"):
        stowage("models", "import", version, "--source", f"file:{tiny_model}", *store)
    damaged = tmp_path / "store" / "a" / "1" / "model.safetensors"
    damaged.chmod(0o644)
    damaged.write_bytes(b"damage" + damaged.read_bytes()[6:])
    outcome = stowage("models", "verify", "--all", "--json", *store)
    assert outcome.code == 1
    assert [verdict["error"] is None for verdict in outcome.json] == [False, True]
    assert "model.safetensors" in outcome.json[0]["error"]


def test_removal_asks_first(
    stowage: Stowage, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ("--store", tmp_path / "store")
    stowage("models", "import", "tiny", "--source", f"file:{tiny_model}", *store)
    with open("/dev/null", encoding="ascii") as nobody:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", nobody)
        assert stowage("models", "remove", "tiny@1", *store).code == 1
    assert [each["name"] for each in stowage("models", "list", "--json", *store).json] == ["tiny"]


def test_an_error_is_one_message_with_a_remedy(stowage: Stowage, tmp_path: Path) -> None:
    outcome = stowage("models", "import", "x", "--source", f"file:{tmp_path}/absent", "--store", tmp_path / "s")
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1].startswith("Error: ")
    assert "absent does not exist" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize("command", ["show", "verify", "remove"])
def test_a_version_that_is_not_there_is_no_reason_to_import_it(
    stowage: Stowage, tiny_model: Path, tmp_path: Path, command: str
) -> None:
    store = ("--store", tmp_path / "store")
    stowage("models", "import", "tiny@2", "--source", f"file:{tiny_model}", *store)
    outcome = stowage("models", command, "tiny@7", *store)
    assert outcome.code == 1
    assert "tiny@7 is not in the model store" in outcome.out + outcome.err
    assert "which holds tiny@2" in outcome.out + outcome.err
    assert "import" not in outcome.out + outcome.err.replace(str(tmp_path), "")


def test_the_version(stowage: Stowage) -> None:
    assert stowage("--version").out == f"stowage {VERSION}\n"


def test_an_empty_store_is_named(stowage: Stowage, tmp_path: Path) -> None:
    outcome = stowage("models", "list", "--store", tmp_path)
    assert (outcome.code, outcome.out) == (0, f"no models in {tmp_path}\n")


@pytest.mark.parametrize("arguments", [["show", "a/b@1"], ["import", "a/b", "--source", "file:/x"]])
def test_a_name_that_cannot_be_is_explained_in_words(stowage: Stowage, arguments: list[str]) -> None:
    outcome = stowage("models", *arguments)
    assert outcome.code == 2
    assert "model name 'a/b' is not valid: use letters, digits" in outcome.err


def test_validate_a_good_file(stowage: Stowage, config: Path) -> None:
    assert "is valid" in stowage("validate", config).out
    assert stowage("validate", config, "--json").json == {"valid": True, "problems": [], "models": ["tiny@1"]}


def test_validate_reports_mistakes_with_path_and_line(stowage: Stowage, config: Path) -> None:
    config.write_text(config.read_text().replace("model: tiny", "modle: tiny"))
    outcome = stowage("validate", config)
    assert outcome.code == 1
    assert f"{config}:7: applications[1].args.modle: unknown field 'modle'; did you mean 'model'?" in outcome.err
    machine = stowage("validate", config, "--json")
    assert machine.code == 1
    assert {problem["line"] for problem in machine.json["problems"]} == {7}


@pytest.mark.parametrize(
    ("old", "new", "field", "part"),
    [
        ("/weights", "/absent", "source", "absent does not exist"),
        ("source:", "tokenizer: package:not_installed_at_all, source:", "tokenizer", "pip install"),
        ('store: "/', 'store: "', "store", "is not where a model store can be"),
    ],
)
def test_validate_finds_sources_that_are_not_there(
    stowage: Stowage, config: Path, old: str, new: str, field: str, part: str
) -> None:
    config.write_text(config.read_text().replace(old, new))
    (problem,) = stowage("validate", config, "--json").json["problems"]
    assert problem["path"] == f"applications[1].args.{field}"
    assert part in problem["message"]


def test_validate_finds_a_degree_by_which_a_stored_model_cannot_be_divided(stowage: Stowage, config: Path) -> None:
    assert stowage("models", "import", "--config", config).code == 0
    config.write_text(config.read_text().replace("source:", "parallel: {tensor: 3}, source:"))
    (problem,) = stowage("validate", config, "--json").json["problems"]
    assert problem["path"] == "applications[1].args.parallel"
    assert "parallel of tiny@1 is tensor 3 x pipeline 1, but its tensors" in problem["message"]


def test_a_source_may_be_gone_once_its_version_is_stored(stowage: Stowage, config: Path, tiny_model: Path) -> None:
    assert stowage("models", "import", "--config", config).code == 0
    tiny_model.rename(tiny_model.with_name("gone"))
    assert stowage("validate", config).code == 0


@pytest.mark.parametrize(
    ("old", "new", "field", "part"),
    [
        ("/weights", "/elsewhere", "source", "/elsewhere, and a version never changes"),
        ("source:", "tokenizer: 'file:/x', source:", "tokenizer", "has the tokenizer None, not file:/x"),
        ("source:", "task: embed, source:", "task", "has the task generate, not embed"),
        ("source:", "dtype: bfloat16, source:", "dtype", "has the dtype float32, not bfloat16"),
        ("source:", "engine: onnx, source:", "engine", "engine 'onnx' cannot serve tiny@1"),
        ("source:", "limits: {max_model_len: 65}, source:", "limits.max_model_len", "to 64 or less"),
    ],
)
def test_validate_and_serve_refuse_what_a_stored_version_is_not(
    stowage: Stowage, config: Path, old: str, new: str, field: str, part: str
) -> None:
    stowage("models", "import", "--config", config)
    config.write_text(config.read_text().replace(old, new))
    (problem,) = stowage("validate", config, "--json").json["problems"]
    assert (problem["path"], problem["line"]) == (f"applications[1].args.{field}", 7)
    assert part in problem["message"]
    assert f"{config}:7: " in stowage("serve", config).err


def test_a_damaged_version_that_the_file_does_not_name_is_no_problem(stowage: Stowage, config: Path) -> None:
    damaged = config.parent / "store" / "other" / "1" / "manifest.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text("{}")
    assert stowage("validate", config).code == 0
    damaged.parent.parent.rename(damaged.parents[2] / "tiny")
    (problem,) = stowage("validate", config, "--json").json["problems"]
    assert problem["path"] == "applications[1].args.store"
    assert "is not a manifest" in problem["message"]


def test_a_store_in_a_bucket_is_not_asked_while_every_source_is_there(stowage: Stowage, config: Path) -> None:
    config.write_text(re.sub(r'store: "[^"]+"', 'store: "s3://no-such-bucket/models"', config.read_text()))
    assert stowage("validate", config).code == 0


def test_status_is_a_table_of_what_is_live(
    stowage: Stowage, http_server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    reply = details(
        application("router", "RUNNING", ("RUNNING",)),
        application(
            "m@1", "DEPLOY_FAILED", message="Traceback\nmodels.errors.StoreError: no weights", memory=3 << 30
        ),
    )
    http_server.answers["/api/serve/applications/"] = Answer(200, reply)
    http_server.answers["/api/prometheus/sd"] = Answer(200, b"[]")
    shown = stowage("status", "--address", http_server.url)
    lines = shown.out.splitlines()
    assert lines[1].split() == ["m@1", "m", "1", "failed", "0/2", "3.0", "GiB", "-", "-", "-", "no", "weights"]
    assert lines[2].split() == ["router", "-", "-", "ready", "1/2", "-", "-", "-", "-"]
    assert "not known in full: the dashboard names no endpoint for metrics" in shown.err
    machine = stowage("status", "--address", http_server.url, "--json").json
    assert machine[0]["planned_bytes"] == 3 << 30
    assert (machine[1]["model"], machine[1]["num_running"], machine[1]["replicas"]) == (None, 1, ["r0"])
    assert http_server.authorization == ["Bearer secret"] * 4


def test_what_replicas_report_is_shown_and_given_to_machines(stowage: Stowage, http_server: HttpServer) -> None:
    app = application("m@1", "RUNNING", ("RUNNING", "RUNNING"), memory=1000)
    targets = [{"targets": [http_server.url.removeprefix("http://")]}]
    http_server.answers["/api/serve/applications/"] = Answer(200, details(app))
    http_server.answers["/api/prometheus/sd"] = Answer(200, json.dumps(targets).encode())
    http_server.answers["/metrics"] = Answer(200, EXPOSED.encode())
    shown = stowage("status", "--address", http_server.url)
    assert "1.0 KiB  1.1 KiB" in shown.out
    assert "+10.0% OVER" in shown.out
    assert shown.err == ""
    (model,) = stowage("status", "--address", http_server.url, "--json").json
    (memory,) = model["memory"]
    assert (memory["replica"], memory["over_budget"], memory["planned"]["weights"]) == ("r0", True, 800)
    assert memory["measured"] == {"peak": 1100, "total": 1050}


def test_status_of_an_unreachable_cluster(stowage: Stowage, closed_url: str) -> None:
    outcome = stowage("status", "--address", closed_url)
    assert outcome.code == 1
    assert f"no Ray dashboard answers at {closed_url}" in outcome.err


def test_serve_starts_nothing_when_the_port_is_taken(
    stowage: Stowage, config: Path, http_server: HttpServer
) -> None:
    port = http_server.url.rpartition(":")[2]
    config.write_text(f"http_options: {{host: 127.0.0.1, port: {port}}}\n{config.read_text()}")
    outcome = stowage("serve", config)
    assert outcome.code == 1
    assert f"port {port} of 127.0.0.1 is in use" in outcome.err
    assert not (config.parent / "store").exists()


def test_serve_starts_nothing_from_a_wrong_file(stowage: Stowage, config: Path) -> None:
    config.write_text(config.read_text().replace("name: tiny@1", "name: tiny"))
    outcome = stowage("serve", config)
    assert outcome.code == 1
    assert f"{config}:4: applications[1].name: must be 'tiny@1'" in outcome.err


def test_serve_imports_nothing_while_a_source_is_missing(stowage: Stowage, config: Path) -> None:
    config.write_text(config.read_text().replace("/weights", "/absent"))
    outcome = stowage("serve", config)
    assert outcome.code == 1
    assert f"{config}:7: applications[1].args.source: " in outcome.err
    assert not (config.parent / "store").exists()
