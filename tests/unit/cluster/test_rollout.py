"""``stowage rollout`` as operators meet it: a real SQLite file, and a dashboard that tells what is up."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from cluster.live.live_nodes import NODES_PATH
from deployments.audit.record import Attempt, Outcome, RequestRecord
from deployments.state.database import Database
from deployments.state.rollout_counts import collect
from deployments.state.rollouts import Rollouts
from models.types import VersionId
from tests.unit.cluster.clusters import application as configured
from tests.unit.cluster.conftest import Answer, HttpServer, Stowage
from tests.unit.cluster.conftest import Outcome as Ran
from tests.unit.cluster.live.test_live_nodes import RECORDED
from tests.unit.deployments.state.journals import request
from tests.unit.serve_details import application, details

APPLICATIONS = "/api/serve/applications/"
OLD, NEW = VersionId("tiny", "1"), VersionId("tiny", "2")


class Operator:
    """Runs the commands on one cluster."""

    def __init__(self, stowage: Stowage, config: Path, state: Path, site: HttpServer) -> None:
        self.config, self.state = config, f"sqlite:///{state}"
        self._stowage = stowage
        self._site = site

    def __call__(self, command: str, *arguments: object, dashboard: bool = False) -> Ran:
        where = ("--address", self._site.url) if dashboard else ()
        return self._stowage("rollout", command, *arguments, "--config", self.config, *where)

    def start(self, *arguments: object, model: str = "tiny", to: str = "2") -> Ran:
        return self("start", model, "--to", to, *arguments, dashboard=True)

    def deploy(self, **states: str) -> None:
        """What is up: ``v1="RUNNING"`` is version 1 with a replica in that state."""
        applications = [
            application(f"tiny@{version[1:]}", "RUNNING" if state == "RUNNING" else "DEPLOYING", (state,))
            for version, state in states.items()
        ]
        self._site.answers[APPLICATIONS] = Answer(200, details(*applications))

    def configure(self, folder: Path, user_config: object = None, **versions: dict[str, object]) -> None:
        router: dict[str, object] = {
            "name": "router",
            "import_path": "deployments.app:build_router",
            "args": {"state": self.state},
        }
        if user_config is not None:
            router["deployments"] = [{"name": "Router", "user_config": user_config}]
        common = {"source": f"file:{folder}/weights", "store": f"{folder}/store"}
        models = [
            {**configured("tiny", **{**common, "version": each[1:], **args}), "name": f"tiny@{each[1:]}"}
            for each, args in versions.items()
        ]
        self.config.write_text(yaml.safe_dump({"applications": [router, *models]}))

    def serve(self, *records: tuple[str, str], number: int) -> None:
        """Requests that came now, to these versions, and how they ended; then a look of a router."""
        with Database.open(self.state) as database:
            with database.transaction() as connection:
                collect(connection, [_answered(*record) for record in records for _ in range(number)])
            Rollouts(database).tick(lambda _: True)


def _answered(version: str, outcome: str) -> RequestRecord:
    ended = Outcome.OK if outcome == "ok" else Outcome.FAILED
    attempts = (Attempt(f"tiny@{version}", outcome, 1.0, "tiny"),)
    return request(version=version, time=datetime.now(UTC), attempts=attempts, outcome=ended)


@pytest.fixture
def operator(stowage: Stowage, tmp_path: Path, tiny_model: Path, http_server: HttpServer) -> Operator:
    made = Operator(stowage, tmp_path / "serve_config.yaml", tmp_path / "state.db", http_server)
    made.configure(tmp_path, {"routes": {"tiny": {"version": "1"}}}, v1={}, v2={})
    made.deploy(v1="RUNNING", v2="RUNNING")
    http_server.answers[NODES_PATH] = Answer(200, RECORDED.read_bytes())
    return made


def test_a_rollout_starts_with_the_defaults_of_its_options(operator: Operator) -> None:
    started = operator.start()
    assert started.code == 0, started.err
    row = started.out.splitlines()[1].split()
    assert row[:6] == ["tiny", "tiny@1", "tiny@2", "running", "1%", "1/5"]
    (told,) = operator("status", "--json").json
    assert told["plan"] == {
        "steps": [1, 5, 25, 50, 100],
        "hold_s": 300,
        "max_error_rate": 0.01,
        "max_latency_ratio": 1.3,
        "min_requests": 100,
        "max_wait_s": None,
    }
    assert told["weights"] == {"tiny@1": 99, "tiny@2": 1}
    waits = [f"waiting for 100 more requests to the {version} version" for version in ("new", "old")]
    assert told["why"].split("; ")[1:] == waits


def test_every_option_reaches_the_plan(operator: Operator) -> None:
    options = (
        "--steps 2.5,100 --hold 30s --max-error-rate 0.5% --max-latency-ratio 2 --min-requests 7 --max-wait 1h"
    )
    (told,) = operator.start(*options.split(), "--json").json
    assert told["plan"] == {
        "steps": [2.5, 100],
        "hold_s": 30,
        "max_error_rate": 0.005,
        "max_latency_ratio": 2,
        "min_requests": 7,
        "max_wait_s": 3600,
    }


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--steps", "1,5"], "steps must end at 100"),
        (["--steps", "many"], "steps.0: Input should be a valid number"),
        (["--hold", "soon"], "'soon' is not a duration"),
        (["--max-error-rate", "lots"], "'lots' is no share of a whole"),
        (["--max-wait", "1m"], "max_wait_s 60 is less than hold_s 300"),
    ],
)
def test_what_is_no_plan_is_wrong_usage(operator: Operator, options: list[str], complaint: str) -> None:
    outcome = operator.start(*options)
    assert outcome.code == 2
    assert complaint in outcome.err


def test_a_bad_version_goes_back_and_the_history_says_why(operator: Operator) -> None:
    operator.start()
    operator.serve(("1", "ok"), number=200)
    operator.serve(("2", "engine"), number=10)
    status = operator("status", "tiny")
    assert "rolled_back" in status.out
    assert "all requests go to tiny@1, whatever the configuration says" in status.out
    history = operator("history", "tiny")
    assert "error rate 100% (10 of 10 requests), surely above 1%" in history.out
    assert [line.split()[2:4] for line in history.out.splitlines() if line.startswith("20")] == [
        [f"cli:{getpass.getuser()}", "start"],
        ["router", "rollback"],
    ]
    (told,) = operator("history", "tiny", "--json").json
    assert told["events"][1]["numbers"] == {
        "old_requests": 200,
        "old_errors": 0,
        "new_requests": 10,
        "new_errors": 10,
        "latency_ratios": {},
    }


def test_a_good_version_overrides_the_file_until_it_is_cleared(operator: Operator) -> None:
    operator.start("--steps", "50,100", "--hold", "0s", "--min-requests", "5")
    for _ in range(2):
        operator.serve(("1", "ok"), ("2", "ok"), number=5)
    (told,) = operator("status", "--json").json
    assert (told["state"], told["weights"]) == ("done", {"tiny@2": 100})
    assert told["overrides"].endswith(
        'write routes: {tiny: {targets: {"2": 1}}}, then `stowage rollout clear tiny`'
    )
    cleared = operator("clear", "tiny")
    assert cleared.out == "The configuration decides again where requests to tiny go.\n"
    assert operator("status").out == "no rollouts\n"
    assert len(operator("history", "tiny", "--json").json[0]["events"]) == 4


def test_the_next_rollout_goes_on_from_what_the_last_one_left(operator: Operator, tmp_path: Path) -> None:
    operator.start("--steps", "50,100", "--hold", "0s", "--min-requests", "5")
    for _ in range(2):
        operator.serve(("1", "ok"), ("2", "ok"), number=5)
    assert "'tiny' leads to tiny@2 already" in operator.start(to="2").err
    operator.configure(tmp_path, v1={}, v2={}, v3={})
    operator.deploy(v1="RUNNING", v2="RUNNING", v3="RUNNING")
    (told,) = operator.start("--json", to="3").json
    assert (told["old"], told["new"]) == ("tiny@2", "tiny@3")


def test_pause_and_resume(operator: Operator) -> None:
    operator.start()
    assert "paused" in operator("pause", "tiny").out
    twice = operator("pause", "tiny")
    assert twice.code == 1
    assert "pause does not apply to the rollout of 'tiny', which is paused" in twice.err
    assert "(what does: resume, abort, rollback)" in twice.err
    assert "running" in operator("resume", "tiny").out


def test_an_alias_is_as_good_as_the_name(operator: Operator, tmp_path: Path) -> None:
    policy = {"routes": {"tiny": {"version": "1"}}, "aliases": {"chat": "tiny"}}
    operator.configure(tmp_path, policy, v1={}, v2={})
    operator.start(model="chat")
    assert operator("status", "chat", "--json").json[0]["route"] == "tiny"
    states = [operator(command, "chat", "--json").json[0]["state"] for command in ("pause", "resume")]
    back = operator("abort", "chat", "--json", dashboard=True)
    assert [*states, back.json[0]["state"]] == ["paused", "running", "aborted"]
    assert operator("clear", "chat").out == "The configuration decides again where requests to tiny go.\n"
    assert len(operator("history", "chat", "--json").json[0]["events"]) == 5


def test_without_the_configuration_the_name_itself_is_needed(operator: Operator, stowage: Stowage) -> None:
    operator.start()
    operator.config.write_text("applications: broken")
    where = ("--config", operator.config, "--state", operator.state)
    refused = stowage("rollout", "pause", "chat", *where)
    assert "no rollout of 'chat' is in force" in refused.err
    assert "each by the name to give" in refused.err
    assert "paused" in stowage("rollout", "pause", "tiny", *where).out


@pytest.mark.parametrize("command", ["abort", "rollback"])
def test_the_way_back_asks_whether_the_old_version_is_up(operator: Operator, command: str) -> None:
    operator.start()
    operator.deploy(v2="RUNNING")
    refused = operator(command, "tiny", dashboard=True)
    assert refused.code == 1
    assert "tiny@1 is not deployed" in refused.err
    operator.deploy(v1="STARTING", v2="RUNNING")
    assert "tiny@1 is not up but starting: its replica is loading" in operator(command, "tiny", dashboard=True).err
    operator.deploy(v1="RUNNING", v2="RUNNING")
    back = operator(command, "tiny", "--json", dashboard=True)
    assert back.json[0]["weights"] == {"tiny@1": 100}


def test_the_way_back_can_be_forced(operator: Operator) -> None:
    operator.start()
    assert operator("rollback", "tiny", "--force", "--json").json[0]["state"] == "rolled_back"


def test_two_versions_that_do_not_fit_side_by_side_are_refused(operator: Operator, tmp_path: Path) -> None:
    pinned = {"routes": {"tiny": {"version": "1"}}}
    operator.configure(
        tmp_path, pinned, v1={"device": "cpu", "memory": "5GiB"}, v2={"device": "cpu", "memory": "6GiB"}
    )
    refused = operator.start()
    assert refused.code == 1
    assert "tiny@2 does not fit beside tiny@1" in refused.err
    assert operator("status").out == "no rollouts\n"


def test_both_versions_must_be_in_the_configuration(operator: Operator, tmp_path: Path) -> None:
    operator.configure(tmp_path, {"routes": {"tiny": {"version": "1"}}}, v1={})
    refused = operator.start()
    assert refused.code == 1
    assert "the configuration has no tiny@2" in refused.err


def test_a_second_rollout_is_refused(operator: Operator) -> None:
    operator.start()
    assert "a rollout of 'tiny' from tiny@1 to tiny@2 is running already" in operator.start().err


def test_a_cluster_that_does_not_answer_starts_nothing(operator: Operator, closed_url: str) -> None:
    outcome = operator("start", "tiny", "--to", "2", "--address", closed_url)
    assert outcome.code == 1
    assert "no Ray dashboard answers" in outcome.err


def test_without_any_there_is_nothing_to_show(operator: Operator) -> None:
    assert operator("status").out == "no rollouts\n"
    assert operator("status", "--json").json == []
    assert operator("history", "tiny").out == "no rollout of tiny\n"
    assert "no rollout of 'tiny' is in force" in operator("resume", "tiny").err
