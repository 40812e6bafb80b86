"""What every dashboard owes its reader."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from ray.dashboard.modules.metrics.grafana_dashboard_factory import generate_data_grafana_dashboard

from cluster.grafana.boards.all import BOARDS
from cluster.grafana.layout import MAX_UID_LENGTH, Dashboard, Kind, Panel
from cluster.grafana.promql import buckets, coded, per_second, quantile, ratio, series
from cluster.grafana.sdk import render
from cluster.grafana.settings import Settings
from deployments.metrics import router_rows
from deployments.metrics.table import ROWS
from tests.unit.cluster.grafana.expressions import check_expressions, expressions

JSON = Path("cluster/grafana/json")
PANELS = [(board, panel) for board in BOARDS for panel in board.panels()]
each_panel = pytest.mark.parametrize(
    ("board", "panel"), PANELS, ids=[f"{board.uid}: {panel.title}" for board, panel in PANELS]
)


@pytest.mark.parametrize("board", BOARDS, ids=[board.uid for board in BOARDS])
def test_the_committed_json_is_what_is_rendered(board: Dashboard) -> None:
    """To write it anew: ``stowage dashboards render cluster/grafana/json``."""
    assert (JSON / f"{board.uid}.json").read_text() == render(board, Settings())


def test_no_json_is_left_over() -> None:
    assert {path.stem for path in JSON.iterdir()} == {board.uid for board in BOARDS}


def test_uids_are_grafanas_and_unique() -> None:
    uids = [board.uid for board in BOARDS]
    assert len(set(uids)) == len(uids)
    assert all(re.fullmatch(r"stowage-[a-z]+", uid) and len(uid) <= MAX_UID_LENGTH for uid in uids)


def test_titles_within_a_row_are_unique() -> None:
    for board in BOARDS:
        for row in board.rows:
            titles = [panel.title for panel in row.panels]
            assert len(set(titles)) == len(titles), f"{board.uid}, {row.title}"


@each_panel
def test_a_panel_says_what_it_shows(board: Dashboard, panel: Panel) -> None:
    assert panel.title
    assert panel.description.endswith((".", "?"))
    assert all(query.legend for query in panel.queries)


@each_panel
def test_a_panel_leads_to_another_dashboard_and_to_rays(board: Dashboard, panel: Panel) -> None:
    ours = [re.match(r"/d/([a-z-]+)\?", link.url) for link in panel.links if not link.elsewhere]
    assert ours
    assert {found[1] for found in ours if found} <= {other.uid for other in BOARDS}
    assert [link.url for link in panel.links if link.elsewhere and link.url.startswith("${ray_dashboard:raw}/#/")]


@each_panel
def test_links_name_labels_that_the_values_have(board: Dashboard, panel: Panel) -> None:
    wanted = {name for link in panel.links for name in re.findall(r"__field\.labels\.(\w+)", link.url)}
    for query in panel.queries:
        kept = {name for found in re.findall(r"by \(([^)]*)\)", query.expr) for name in found.split(", ")}
        assert wanted <= kept, query.expr


@each_panel
def test_legends_name_labels_that_the_values_have(board: Dashboard, panel: Panel) -> None:
    for query in panel.queries:
        kept = {name for found in re.findall(r"by \(([^)]*)\)", query.expr) for name in found.split(", ")}
        assert set(re.findall(r"{{(\w+)}}", query.legend)) <= kept, query.legend


def test_variables_that_are_used_are_there() -> None:
    for board in BOARDS:
        there = {"SessionName", "__rate_interval", *(each.name for each in board.variables)}
        for panel in board.panels():
            for query in panel.queries:
                assert set(re.findall(r"\$(\w+)", query.expr)) <= there, query.expr


def test_panels_are_numbered_and_do_not_overlap() -> None:
    for board in BOARDS:
        panels = json.loads(render(board, Settings()))["panels"]
        assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
        taken: set[tuple[int, int]] = set()
        for panel in panels:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken, f"{board.uid}: {panel['title']}"
            assert max(x for x, _ in cells) < 24
            taken |= cells


def test_tables_merge_their_columns() -> None:
    for board in BOARDS:
        for panel in board.panels():
            if panel.kind is Kind.TABLE:
                names = [query.legend for query in panel.queries]
                assert len(set(names)) == len(names)


def test_every_metric_of_the_table_is_shown_or_left_out_on_purpose() -> None:
    shown = "\n".join(query.expr for _, panel in PANELS for query in panel.queries)
    shown += "\n".join(mark.expr for board in BOARDS for mark in board.annotations)
    hidden = {row.name for row in ROWS if not re.search(rf"{row.exported}(_bucket)?{{", shown)}
    assert hidden == LEFT_OUT


LEFT_OUT = {
    "stowage_scaling_target",  # Serve's own target has all applications
    "stowage_router_retries_refused_total",  # the retry budget says it
    "stowage_router_breaker_openings_total",  # the state of the breakers says it
    "stowage_router_limit_leased_ratio",  # of interest where limits are looked into
    "stowage_replica_weights_bytes",  # a plan says it
    "stowage_engine_starting",  # the phase `turn` of a start says it
    "stowage_compute_share_kept",  # an alert says it
    "stowage_pool_load_duration_seconds",  # counts and evictions say more
    "stowage_pool_planned_weights_bytes",
    "stowage_pool_measured_weights_bytes",
}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Ray leaves a file open
def test_rays_second_tab_can_be_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/dashboards.md says, by what Ray's dashboard itself makes of the variable."""
    monkeypatch.setenv("RAY_GRAFANA_DATA_DASHBOARD_UID", "stowage-fleet")
    assert generate_data_grafana_dashboard()[1] == "stowage-fleet"


def test_promtool_reads_every_expression() -> None:
    check_expressions(expressions(BOARDS))


def test_promtool_finds_a_wrong_expression() -> None:
    with pytest.raises(AssertionError, match="parse error"):
        check_expressions({"wrong": "sum by (model (up)"})


def test_a_label_that_a_metric_does_not_have_is_refused() -> None:
    with pytest.raises(LookupError, match="ray_stowage_router_requests_waiting has no label tenant"):
        series(router_rows.WAITING, tenant="ann")
    with pytest.raises(LookupError, match="has no label tenent"):
        per_second(router_rows.REQUESTS, ("tenent",))
    with pytest.raises(LookupError, match="has no label tenant"):
        buckets(router_rows.QUEUE_TIME, ("tenant",))


def test_what_the_expressions_look_like() -> None:
    assert series(router_rows.WAITING, model="$model", version="!1") == (
        'ray_stowage_router_requests_waiting{SessionName=~"$SessionName",model=~"$model",version!~"1"}'
    )
    assert quantile(0.5, router_rows.QUEUE_TIME, ("model",)) == (
        "histogram_quantile(0.5, sum by (model, le) "
        '(rate(ray_stowage_router_queue_time_seconds_bucket{SessionName=~"$SessionName"}[$__rate_interval])))'
    )
    assert ratio("a", "b") == "(a) / ((b) > 0)"
    assert coded(router_rows.BREAKER_STATE, ("model",), "state", {"open": 1, "closed": 2}) == (
        'max by (model) (ray_stowage_router_breaker_state{SessionName=~"$SessionName",state=~"open"} * 1 '
        'or ray_stowage_router_breaker_state{SessionName=~"$SessionName",state=~"closed"} * 2)'
    )
