"""``stowage dashboards`` over real HTTP, against a server that answers by Grafana's published API."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from cluster.grafana.boards.all import BOARDS
from tests.certificates import Certificate, make_certificate
from tests.unit.cluster.conftest import Outcome, Stowage
from tests.unit.cluster.grafana.server import FakeGrafana
from tests.unit.deployments.api.live import served

EDITOR = "editor"
UIDS = [board.uid for board in BOARDS]


@pytest.fixture
def grafana() -> FakeGrafana:
    return FakeGrafana()


@pytest.fixture
def url(grafana: FakeGrafana) -> Iterator[str]:
    with served(grafana.app()) as address:
        yield f"http://{address}"


@pytest.fixture
def push(stowage: Stowage, url: str) -> Callable[..., Outcome]:
    def run(*options: str, token: str = EDITOR, url: str = url) -> Outcome:
        return stowage("dashboards", "push", "--url", url, "--token", token, *options)

    return run


Run = Callable[..., Outcome]


def changes(outcome: Outcome) -> dict[str, str]:
    return {each["uid"]: each["change"] for each in outcome.json["dashboards"]}


def test_the_first_push_creates_folder_and_dashboards(push: Run, grafana: FakeGrafana) -> None:
    assert changes(push("--json")) == dict.fromkeys(UIDS, "create")
    assert list(grafana.folders.values()) == ["Stowage"]
    assert grafana.places == dict.fromkeys(UIDS, "folder0")
    assert [grafana.content(board.uid)["title"] for board in BOARDS] == [board.title for board in BOARDS]


@pytest.mark.parametrize("is_old", [False, True])
def test_the_second_push_writes_nothing(push: Run, grafana: FakeGrafana, is_old: bool) -> None:
    grafana.is_old = is_old
    push()
    grafana.writes.clear()
    assert changes(push("--json")) == dict.fromkeys(UIDS, "unchanged")
    assert grafana.writes == []


def test_a_dry_run_writes_nothing(push: Run, grafana: FakeGrafana) -> None:
    outcome = push("--dry-run", "--datasource", "http://prometheus:9090")
    assert (outcome.code, grafana.writes) == (0, [])
    assert "folder Stowage: create\ndata source Prometheus: create\n" in outcome.out
    assert outcome.out.count(" create\n") >= len(UIDS)


def test_another_setting_updates_and_keeps_the_versions(push: Run, grafana: FakeGrafana) -> None:
    push()
    outcome = push("--json", "--ray-dashboard", "https://ray.example.org/")
    assert changes(outcome) == dict.fromkeys(UIDS, "update")
    assert [save.version for save in grafana.saves["stowage-fleet"]] == [1, 2]
    assert '"https://ray.example.org"' in json.dumps(grafana.content("stowage-fleet"))


def test_what_was_edited_by_hand_is_refused_and_nothing_is_done(push: Run, grafana: FakeGrafana) -> None:
    push()
    grafana.edit("stowage-memory", message="wider", refresh="5s")
    grafana.writes.clear()
    outcome = push("--ray-dashboard", "http://ray:8265")
    assert (outcome.code, grafana.writes) == (1, [])
    assert "Stowage / Memory: edited by hand (version 2, ann: 'wider')" in outcome.err
    assert "--force" in outcome.err


def test_an_edit_is_refused_even_where_nothing_else_has_changed(push: Run, grafana: FakeGrafana) -> None:
    push()
    grafana.edit("stowage-fleet")
    assert changes(push("--json"))["stowage-fleet"] == "edited by hand (version 2, ann)"
    assert push("--dry-run").code == 1


def test_force_overwrites_an_edit_and_keeps_it_in_the_history(push: Run, grafana: FakeGrafana) -> None:
    push()
    before = grafana.content("stowage-fleet")["panels"]
    grafana.edit("stowage-fleet", panels=[])
    outcome = push("--force", "--json")
    assert (outcome.code, changes(outcome)["stowage-fleet"]) == (0, "update")
    assert grafana.content("stowage-fleet")["panels"] == before
    assert [save.content["panels"] == before for save in grafana.saves["stowage-fleet"]] == [True, False, True]
    assert set(changes(push("--json")).values()) == {"unchanged"}


def test_who_saves_between_reading_and_writing_wins(push: Run, grafana: FakeGrafana) -> None:
    push()
    grafana.meanwhile = "stowage-fleet"
    outcome = push("--ray-dashboard", "http://ray:8265")
    assert outcome.code == 1
    assert "'Stowage / Fleet' cannot be saved: somebody has saved it since it was read" in outcome.err


def test_a_dashboard_of_the_same_title_is_not_hidden(push: Run, grafana: FakeGrafana) -> None:
    grafana.folders["folder0"] = "Stowage"
    grafana.saves["mine"], grafana.places["mine"] = [], "folder0"
    grafana._add("mine", {"title": "Stowage / Fleet"}, "", "ann")
    outcome = push()
    assert outcome.code == 1
    assert "another dashboard of the folder has its title" in outcome.err


def test_a_dashboard_that_was_moved_comes_back(push: Run, grafana: FakeGrafana) -> None:
    push()
    grafana.places["stowage-fleet"] = ""
    assert changes(push("--json"))["stowage-fleet"] == "move"
    assert grafana.places["stowage-fleet"] == "folder0"
    assert set(changes(push("--json")).values()) == {"unchanged"}


def test_what_grafana_reads_from_files_is_left_to_them(push: Run, grafana: FakeGrafana) -> None:
    push()
    grafana.provisioned.add("stowage-fleet")
    outcome = push("--force")
    assert outcome.code == 1
    assert "Stowage / Fleet: read from a file" in outcome.err


def test_two_folders_of_one_title_are_refused(push: Run, grafana: FakeGrafana) -> None:
    grafana.folders |= {"a": "Stowage", "b": "Stowage"}
    assert "2 folders have the title 'Stowage'" in push().err


SOURCE = ("--datasource", "http://prometheus:9090", "--datasource-name", "Main / one")


def test_the_data_source_is_created_once(push: Run, grafana: FakeGrafana) -> None:
    assert push(*SOURCE, token="admin").code == 0
    grafana.writes.clear()
    assert push(*SOURCE, "--json", token="admin").json["datasource"] == {
        "name": "Main / one",
        "change": "unchanged",
    }
    (source,) = grafana.sources.values()
    assert {key: source[key] for key in ("name", "type", "access", "url")} == {
        "name": "Main / one",
        "type": "prometheus",
        "access": "proxy",
        "url": "http://prometheus:9090",
    }
    assert grafana.writes == []


def stored_source(**other: object) -> dict[str, Any]:
    source = {"uid": "s", "name": "Main / one", "type": "prometheus", "access": "proxy", "url": "http://old:9090"}
    return {"s": {**source, "readOnly": False, "version": 1, "jsonData": {"timeInterval": "15s"}, **other}}


def test_a_data_source_that_leads_elsewhere_is_changed_by_force_only(push: Run, grafana: FakeGrafana) -> None:
    grafana.sources = stored_source()
    refused = push(*SOURCE, token="admin")
    assert (refused.code, grafana.writes) == (1, [])
    assert "'Main / one' leads to http://old:9090, not to http://prometheus:9090" in refused.err
    assert push(*SOURCE, "--force", token="admin").code == 0
    assert grafana.sources["s"]["url"] == "http://prometheus:9090"
    assert grafana.sources["s"]["jsonData"] == {"timeInterval": "15s"}


@pytest.mark.parametrize(
    ("other", "said"), [({"type": "loki"}, "is of type 'loki'"), ({"readOnly": True}, "is read from a file")]
)
def test_a_data_source_that_cannot_be_it_is_refused(
    push: Run, grafana: FakeGrafana, other: dict[str, object], said: str
) -> None:
    grafana.sources = stored_source(**other)
    outcome = push(*SOURCE, "--force", token="admin")
    assert (outcome.code, grafana.writes) == (1, [])
    assert said in outcome.err


@pytest.mark.parametrize(
    ("token", "options", "said"),
    [
        ("wrong", (), "Grafana does not know the token; "),
        ("viewer", (), "the token's service account may not do that; "),
        ("editor", SOURCE, "the token's service account may not do that; "),
    ],
)
def test_a_token_that_does_not_do_is_said_to(push: Run, token: str, options: tuple[str, ...], said: str) -> None:
    outcome = push(*options, token=token)
    assert outcome.code == 1
    assert said in outcome.err
    assert token not in outcome.err.replace("GRAFANA_TOKEN", "")


def test_the_token_comes_from_the_environment(
    stowage: Stowage, url: str, monkeypatch: pytest.MonkeyPatch, grafana: FakeGrafana
) -> None:
    monkeypatch.delenv("GRAFANA_TOKEN", raising=False)
    monkeypatch.setenv("GRAFANA_URL", url)
    missing = stowage("dashboards", "push")
    assert (missing.code, "GRAFANA_TOKEN is not set" in missing.err) == (2, True)
    monkeypatch.setenv("GRAFANA_TOKEN", "editor")
    assert stowage("dashboards", "push").code == 0
    assert len(grafana.saves) == len(UIDS)


def test_a_diff_shows_what_was_edited_by_hand(stowage: Stowage, push: Run, grafana: FakeGrafana, url: str) -> None:
    command = ("dashboards", "diff", "--url", url, "--token", "editor")
    first = stowage(*command)
    assert first.code == 0
    assert "+++ stowage-fleet" in first.out
    push()
    assert stowage(*command, "--exit-code") == Outcome(0, "", "")
    grafana.edit("stowage-fleet", refresh="5s")
    edited = stowage(*command, "--exit-code")
    assert edited.code == 3
    assert [line for line in edited.out.splitlines() if line[:1] in "+-"] == [
        "--- stowage-fleet (Grafana)",
        "+++ stowage-fleet",
        '-  "refresh": "5s",',
        '+  "refresh": "30s",',
    ]
    assert '-  "refresh": "5s",' in push("--dry-run", "--diff").out


def test_a_grafana_below_a_path_is_reached(stowage: Stowage) -> None:
    grafana = FakeGrafana(prefix="/tools/grafana")
    with served(grafana.app()) as address:
        place = f"http://{address}/tools/grafana/"
        assert stowage("dashboards", "push", "--url", place, "--token", "editor").code == 0
        missed = stowage("dashboards", "push", "--url", f"http://{address}", "--token", "editor")
    assert len(grafana.saves) == len(UIDS)
    assert "Grafana does not find it" in missed.err


def one_answer(response: Response) -> Starlette:
    async def answer(_request: object) -> Response:
        return response

    return Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (PlainTextResponse("<html>Log in</html>"), "answers, but not as a Grafana does"),
        (PlainTextResponse("bad gateway", 502), "Grafana has failed; "),
        (RedirectResponse("https://elsewhere.example.org/"), "redirects to another address"),
    ],
)
def test_what_is_no_grafana_is_told(push: Run, response: Response, said: str) -> None:
    with served(one_answer(response)) as address:
        outcome = push(url=f"http://{address}")
    assert outcome.code == 1
    assert said in outcome.err


def test_nobody_answers(push: Run, closed_url: str) -> None:
    outcome = push(url=closed_url)
    assert outcome.code == 1
    assert f"no Grafana answers at {closed_url}" in outcome.err


@pytest.mark.parametrize("wrong", ["grafana.example.org", "ftp://g", "http://", "http://ann:secret@g"])
def test_an_address_that_is_none_is_refused(push: Run, wrong: str) -> None:
    outcome = push(url=wrong)
    assert outcome.code == 1
    assert "is no address of a Grafana" in outcome.err


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


def test_a_certificate_has_to_be_trusted(push: Run, grafana: FakeGrafana, certificate: Certificate) -> None:
    with served(grafana.app(), certificate) as address:
        refused = push(url=f"https://{address}")
        assert push("--ca", str(certificate.certificate), url=f"https://{address}").code == 0
    assert refused.code == 1
    assert "cannot be trusted" in refused.err
    assert len(grafana.saves) == len(UIDS)


def test_files_are_written_for_a_grafana_that_reads_them(stowage: Stowage, tmp_path: Path) -> None:
    folder = tmp_path / "json"
    assert stowage("dashboards", "render", folder).code == 0
    assert sorted(path.stem for path in folder.iterdir()) == sorted(UIDS)


@pytest.mark.parametrize(
    ("adapter", "package"), [("sdk", "grafana_foundation_sdk.builders"), ("client", "grafana_api.grafana_api")]
)
def test_without_the_extra_its_name_is_told(
    push: Run, monkeypatch: pytest.MonkeyPatch, adapter: str, package: str
) -> None:
    monkeypatch.delitem(sys.modules, f"cluster.grafana.{adapter}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    outcome = push()
    assert outcome.code == 1
    assert (
        f"dashboards need {package.partition('.')[0]}, which is not installed (install the extra `grafana`)"
        in outcome.err
    )
