"""The policy as Serve holds it: by value, and never an error in the controller's loop."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import dataclass

import pytest
from ray.serve.config import AutoscalingPolicy

from deployments import serve_scaling
from deployments.autoscaling import ModelPolicy
from deployments.routing.serve_details import SCALING_POLICY
from tests.unit.source_tree import ROOT


@dataclass
class Context:
    """Of what Serve tells, what the policy itself looks at."""

    app_name: str = "m@1"
    target_num_replicas: int = 3


def test_whatever_is_raised_the_target_stays_and_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = []

    def fail(*arguments: object) -> int:
        asked.append(arguments)
        raise ImportError("no module named deployments")

    monkeypatch.setattr(serve_scaling, "target_of", fail)
    policy = ModelPolicy(settings={})
    with caplog.at_level(logging.ERROR, "ray.serve"):
        for _ in range(20):
            assert policy(Context()) == (3, {})  # type: ignore[arg-type]
    assert (len(caplog.messages), len(asked)) == (1, 1)


def test_what_is_decided_is_what_serve_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve_scaling, "target_of", lambda _, arguments: arguments["settings"])
    assert ModelPolicy(settings=5)(Context()) == (5, {})  # type: ignore[arg-type]


def test_it_can_be_made_where_our_code_is_not_found_and_says_so() -> None:
    """As in a controller that was started without PYTHONPATH: what is raised there while it starts ends it."""
    pickled = AutoscalingPolicy.model_validate({"policy_function": SCALING_POLICY})._serialized_policy_def
    code = (
        "import json, pickle, sys, types\n"
        f"policy = pickle.loads({pickled!r})(settings={{}})\n"
        "context = types.SimpleNamespace(app_name='m@1', target_num_replicas=3)\n"
        "print(json.dumps([policy(context), 'deployments' in sys.modules]))"
    )
    ran = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            f"import sys; sys.path += {[p for p in sys.path if 'site-packages' in p]}\n{code}",
        ],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        env={},
    )
    assert json.loads(ran.stdout) == [[3, {}], False]
    assert "m@1 keeps the replicas that it has" in ran.stderr


def test_the_controller_has_to_import_nothing_large_for_it() -> None:
    code = "import ray.serve.config, sys; before = set(sys.modules); import deployments.serve_scaling\n"
    code += "print(sorted(name for name in set(sys.modules) - before if not name.startswith('deployments')))"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, env={"PYTHONPATH": "."}
    )
    loaded = ran.stdout
    for unwanted in ("torch", "transformers", "sqlalchemy", "starlette.applications", "models"):
        assert f"'{unwanted}'" not in loaded
