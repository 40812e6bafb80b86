"""Dashboards as Grafana's JSON, by Grafana's own SDK: the only file that knows it.

What becomes of a dashboard depends on nothing but the dashboard, ``Settings`` and the SDK's version.
"""

from __future__ import annotations

import json
from typing import Final, cast

from grafana_foundation_sdk.builders import common as parts
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import heatmap, prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heatmap_model
from grafana_foundation_sdk.models import table as table_model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from cluster.grafana.layout import Annotation, Colour, Dashboard, Kind, Link, Panel, Threshold, Variable
from cluster.grafana.settings import TAG, Settings

PanelBuilder = timeseries.Panel | stat.Panel | table.Panel | statetimeline.Panel | heatmap.Panel

_SOURCE: Final = common.DataSourceRef("prometheus", "${datasource}")
_FORMATS = {Kind.TABLE: PromQueryFormat.TABLE, Kind.HEATMAP: PromQueryFormat.HEATMAP}
_SESSION = Variable("SessionName", "Cluster session", "ray_node_mem_total")
_EVERYTHING = ".*"


def render(dashboard: Dashboard, settings: Settings) -> str:
    """The dashboard as text that is the same each time."""
    built = _dashboard(dashboard, settings).build()
    _tidy(built)
    return json.dumps(built, cls=JSONEncoder, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _dashboard(wanted: Dashboard, settings: Settings) -> build.Dashboard:
    made = (
        build.Dashboard(wanted.title)
        .uid(wanted.uid)
        .description(settings.describe(wanted))
        .tags([TAG])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .links([_other_dashboards(), _ray_dashboard()])
        .variables(
            [_data_source(), _ray_address(settings), _variable(_SESSION), *map(_variable, wanted.variables)]
        )
        .annotations([_annotation(each) for each in wanted.annotations])
    )
    numbers = iter(range(1, 1000))
    for row in wanted.rows:
        made.with_row(build.Row(row.title).id(next(numbers)))
        for panel in row.panels:
            made.with_panel(_panel(panel).id(next(numbers)))
    return made


def _tidy(built: model.Dashboard) -> None:
    """Take out what the SDK puts in unasked: links hidden in a menu, and properties that Grafana does not know."""
    for each in (*(built.links or ()), *(built.annotations.list_val or ())):
        each.placement = None
    for variable in built.templating.list_val or ():
        variable.auto = variable.auto_min = variable.auto_count = None
    for panel in built.panels or ():
        if isinstance(panel, model.Panel) and isinstance(panel.options, table_model.Options):
            panel.options.footer = None


def _panel(wanted: Panel) -> PanelBuilder:
    made = _kind(wanted)
    made.title(wanted.title).description(_description(wanted)).datasource(_SOURCE)
    made.span(wanted.width).height(wanted.height)
    made.targets([_query(wanted, number) for number in range(len(wanted.queries))])
    made.unit(wanted.unit).thresholds(_thresholds(wanted.thresholds))
    if wanted.highest is not None:
        made.max(wanted.highest)
    if wanted.states and wanted.kind is not Kind.TABLE:
        made.mappings([_mapping(wanted)])
    if wanted.kind is not Kind.TABLE:
        made.data_links(_links(wanted.links))
    return made


def _kind(wanted: Panel) -> PanelBuilder:
    match wanted.kind:
        case Kind.LINES:
            return _lines(wanted)
        case Kind.STAT:
            return stat.Panel().reduce_options(_last()).color_mode(common.BigValueColorMode.VALUE)
        case Kind.TABLE:
            return _table(wanted)
        case Kind.STATES:
            return statetimeline.Panel().merge_values(True).show_value(common.VisibilityMode.NEVER)
        case Kind.HEATMAP:
            return heatmap.Panel().calculate(False).y_axis(heatmap.YAxisConfig().unit(wanted.unit)).color(_heat())


def _lines(wanted: Panel) -> timeseries.Panel:
    made = timeseries.Panel().line_width(1).fill_opacity(25 if wanted.stacked else 8).axis_soft_min(0)
    made.show_points(common.VisibilityMode.AUTO).span_nulls(False)
    made.legend(
        parts.VizLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.BOTTOM)
        .calcs(["lastNotNull", "max"])
    )
    made.tooltip(parts.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    if wanted.stacked:
        made.stacking(parts.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if wanted.thresholds:
        dashed = parts.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        made.thresholds_style(dashed)
    return made


def _table(wanted: Panel) -> table.Panel:
    """A row for each set of labels, a column for each query; the first query's values may stand for states."""
    names = {f"Value #{_ref(number)}": query.legend for number, query in enumerate(wanted.queries)}
    if len(wanted.queries) == 1:
        names = {"Value": wanted.queries[0].legend}
    made = (
        table.Panel()
        .cell_options(common.TableAutoCellOptions())
        .filterable(True)
        .cell_height(common.TableCellHeight.SM)
    )
    made.with_transformation(model.DataTransformerConfig("merge", options={}))
    made.with_transformation(
        model.DataTransformerConfig("organize", options={"excludeByName": {"Time": True}, "renameByName": names})
    )
    for query in wanted.queries:
        if query.unit:
            made.override_by_name(query.legend, [model.DynamicConfigValue("unit", query.unit)])
    if wanted.states:
        coloured = {"type": common.TableCellDisplayMode.COLOR_TEXT}
        shown = [
            model.DynamicConfigValue("mappings", [_mapping(wanted)]),
            model.DynamicConfigValue("custom.cellOptions", coloured),
        ]
        made.override_by_name(wanted.queries[0].legend, shown)
    links = [_link(each, of_row=True) for each in wanted.links]
    return made.override_by_field_type("string", [model.DynamicConfigValue("links", links)])


def _query(panel: Panel, number: int) -> prometheus.Dataquery:
    query = panel.queries[number]
    made = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(_ref(number))
    made.datasource(_SOURCE)
    if panel.kind in _FORMATS:
        made.format(_FORMATS[panel.kind])
    return made.instant() if panel.kind is Kind.TABLE else made.range()


def _thresholds(steps: tuple[Threshold, ...]) -> build.ThresholdsConfig:
    all_steps = [
        model.Threshold(None, Colour.GREEN),
        *(model.Threshold(each.value, each.colour) for each in steps),
    ]
    return build.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(all_steps)


def _mapping(wanted: Panel) -> model.ValueMap:
    return model.ValueMap(
        {
            str(value): model.ValueMappingResult(text=shown.text, color=shown.colour, index=index)
            for index, (value, shown) in enumerate(wanted.states.items())
        }
    )


def _links(wanted: tuple[Link, ...]) -> list[Builder[model.DashboardLink]]:
    """Those of a value, for which the SDK wants a dashboard's: Grafana knows three of its ten properties there."""
    return [cast("Builder[model.DashboardLink]", _Built(_link(each))) for each in wanted]


def _link(wanted: Link, *, of_row: bool = False) -> dict[str, object]:
    """In a table labels are columns, and a link reads those of its row."""
    url = wanted.url.replace("__field.labels.", "__data.fields.") if of_row else wanted.url
    return {"title": wanted.title, "url": url, "targetBlank": wanted.elsewhere}


class _Built(Builder[dict[str, object]]):
    """What needs no building."""

    def __init__(self, value: dict[str, object]) -> None:
        self._value = value

    def build(self) -> dict[str, object]:
        return self._value


def _last() -> parts.ReduceDataOptions:
    return parts.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")


def _heat() -> heatmap.HeatmapColorOptions:
    made = heatmap.HeatmapColorOptions().mode(heatmap_model.HeatmapColorMode.SCHEME).scheme("Oranges")
    return (
        made.scale(heatmap_model.HeatmapColorScale.EXPONENTIAL)
        .exponent(0.5)
        .steps(64)
        .reverse(False)
        .fill("orange")
    )


def _description(wanted: Panel) -> str:
    return f"{wanted.description} Empty without {wanted.needs}." if wanted.needs else wanted.description


def _ref(number: int) -> str:
    return chr(ord("A") + number)


def _other_dashboards() -> build.DashboardLink:
    made = build.DashboardLink("Stowage").type(model.DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(True)
    return made.include_vars(True).keep_time(True)


def _ray_dashboard() -> build.DashboardLink:
    made = build.DashboardLink("Ray").type(model.DashboardLinkType.LINK).url("${ray_dashboard:raw}/#/overview")
    return made.icon("external link").target_blank(True)


def _data_source() -> build.DatasourceVariable:
    return build.DatasourceVariable("datasource").label("Prometheus").type("prometheus")


def _ray_address(settings: Settings) -> build.TextBoxVariable:
    address = settings.ray_dashboard
    chosen = model.VariableOption(selected=True, text=address, value=address)
    made = build.TextBoxVariable("ray_dashboard").label("Ray dashboard").default_value(address).current(chosen)
    return made.options([chosen])


def _variable(wanted: Variable) -> build.QueryVariable:
    within = "" if wanted is _SESSION else '{SessionName=~"$SessionName"}'
    query = f"label_values({wanted.series}{within}, {wanted.name})"
    made = build.QueryVariable(wanted.name).label(wanted.label).datasource(_SOURCE)
    made.query({"query": query, "refId": wanted.name}).refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
    made.sort(model.VariableSort.NATURAL_ASC)
    if wanted.several:
        everything = model.VariableOption(selected=True, text=["All"], value=["$__all"])
        made.multi(True).include_all(True).all_value(_EVERYTHING).current(everything)
    return made


def _annotation(wanted: Annotation) -> build.AnnotationQuery:
    target = prometheus.Dataquery().expr(wanted.expr).legend_format(wanted.text).ref_id("Anno")
    made = build.AnnotationQuery().name(wanted.name).datasource(_SOURCE).enable(True).icon_color(wanted.colour)
    return made.target(target)
